//! The roles and the questions.

/// A role and its policies.
pub(crate) struct Role {
    pub name: &'static str,
    /// The head of its column.
    pub short: &'static str,
    pub says: &'static str,
    pub managed: &'static [&'static str],
    pub inline: &'static str,
    pub tags: &'static [(&'static str, &'static str)],
}

/// A question, asked of every role.
pub(crate) struct Row {
    pub group: &'static str,
    pub what: &'static str,
    pub action: &'static str,
    pub resource: &'static str,
    pub context: &'static [(&'static str, &'static [&'static str])],
}

pub(crate) const ROLES: &[Role] = &[
    Role {
        name: "DataScienceAdministrator",
        short: "Admin",
        says: "looks after the platform: catalog, environments, approval for production.",
        managed: &[
            "AWSServiceCatalogAdminFullAccess",
            "AWSKeyManagementServicePowerUser",
            "AmazonS3FullAccess",
            "AWSCloudFormationFullAccess",
            "ReadOnlyAccess",
            "AmazonSSMFullAccess",
            "AmazonSageMakerFullAccess",
        ],
        inline: include_str!("policies/data-science-administrator.json"),
        tags: &[],
    },
    Role {
        name: "DataScienceTeamAdministrator",
        short: "Team admin",
        says: "looks after one team: hosting, approval, projects, profiles.",
        managed: &[
            "AWSServiceCatalogAdminFullAccess",
            "AWSKeyManagementServicePowerUser",
            "AmazonS3FullAccess",
            "AWSCloudFormationFullAccess",
            "ReadOnlyAccess",
            "AmazonSSMFullAccess",
            "AWSCodeCommitFullAccess",
        ],
        inline: include_str!("policies/data-science-team-administrator.json"),
        tags: &[("EnvironmentName", "team")],
    },
    Role {
        name: "DataScientist",
        short: "Scientist",
        says: "works in Studio: data, training, pipelines, registering models.",
        managed: &[
            "AWSServiceCatalogEndUserReadOnlyAccess",
            "AmazonS3ReadOnlyAccess",
            "AWSCloudFormationReadOnlyAccess",
            "AmazonSSMReadOnlyAccess",
            "AWSLambda_ReadOnlyAccess",
            "AWSCodeCommitReadOnly",
            "DataScientist",
        ],
        inline: include_str!("policies/data-scientist.json"),
        tags: &[("EnvironmentName", "team"), ("studiouserid", "ana")],
    },
    Role {
        name: "SageMakerExecutionRole",
        short: "Execution",
        says: "what notebooks and jobs of the team run as.",
        managed: &["AmazonS3ReadOnlyAccess", "AmazonSageMakerFullAccess", "AmazonSageMakerFeatureStoreAccess"],
        inline: include_str!("policies/sagemaker-execution.json"),
        tags: &[("EnvironmentName", "team"), ("Principal", "team-sm-execution-role")],
    },
    Role {
        name: "SageMakerPipelineExecutionRole",
        short: "Pipeline",
        says: "what the steps of pipelines run as.",
        managed: &[],
        inline: include_str!("policies/sagemaker-pipeline-execution.json"),
        tags: &[("EnvironmentName", "team"), ("Principal", "team-sm-pipeline-role")],
    },
    Role {
        name: "SCLaunchRole",
        short: "Env launch",
        says: "what the catalog builds environments as.",
        managed: &[
            "AmazonS3FullAccess",
            "AWSCloudFormationFullAccess",
            "CloudWatchLogsFullAccess",
            "AmazonVPCFullAccess",
            "AmazonElasticFileSystemFullAccess",
        ],
        inline: include_str!("policies/environment-launch.json"),
        tags: &[],
    },
    Role {
        name: "SCProjectLaunchRole",
        short: "Project launch",
        says: "what the catalog builds a team's projects as.",
        managed: &["AWSCloudFormationFullAccess", "AmazonS3ReadOnlyAccess", "AmazonSageMakerFullAccess", "AWSLambda_FullAccess"],
        inline: include_str!("policies/project-launch.json"),
        tags: &[("EnvironmentName", "team")],
    },
];

/// Whom a role lets take it on: people come from the account, execution roles from their service.
pub(crate) fn trust(role: &str) -> &'static str {
    match role {
        "DataScientist" => {
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::111111111111:root"},"Action":["sts:AssumeRole","sts:TagSession"]}}"#
        }
        _ => {
            r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Principal":{"Service":"sagemaker.amazonaws.com"},"Action":"sts:AssumeRole"}}"#
        }
    }
}

const fn row(group: &'static str, what: &'static str, action: &'static str, resource: &'static str) -> Row {
    Row { group, what, action, resource, context: &[] }
}

const fn with(row: Row, context: &'static [(&'static str, &'static [&'static str])]) -> Row {
    Row { context, ..row }
}

const STUDIO: &str = "Studio";
const JOBS: &str = "Training and pipelines";
const MODELS: &str = "Models and hosting";
const DATA: &str = "Data";
const ROLES_OF: &str = "Roles and permissions";
const BUILD: &str = "Environments and projects";

const VPC: &[(&str, &[&str])] =
    &[("sagemaker:VpcSubnets", &["subnet-1", "subnet-2"]), ("sagemaker:VpcSecurityGroupIds", &["sg-1", "sg-2"])];
const OWN: &[(&str, &[&str])] = &[("sagemaker:ResourceTag/studiouserid", &["ana"]), ("aws:ResourceTag/studiouserid", &["ana"])];
const OTHER: &[(&str, &[&str])] = &[("sagemaker:ResourceTag/studiouserid", &["ben"]), ("aws:ResourceTag/studiouserid", &["ben"])];
const TO_SAGEMAKER: &[(&str, &[&str])] = &[("iam:PassedToService", &["sagemaker.amazonaws.com"])];
const TO_CATALOG: &[(&str, &[&str])] = &[("iam:PassedToService", &["servicecatalog.amazonaws.com"])];
const ENDPOINT: &[(&str, &[&str])] = &[("aws:SourceVpce", &["vpce-0team"])];

pub(crate) const ROWS: &[Row] = &[
    row(STUDIO, "Make a Studio domain", "sagemaker:CreateDomain", "arn:aws:sagemaker:us-east-1:111111111111:domain/d-team"),
    row(STUDIO, "Delete the Studio domain", "sagemaker:DeleteDomain", "arn:aws:sagemaker:us-east-1:111111111111:domain/d-team"),
    with(
        row(
            STUDIO,
            "Add a user profile with the user's tag",
            "sagemaker:CreateUserProfile",
            "arn:aws:sagemaker:us-east-1:111111111111:user-profile/d-team/ana",
        ),
        &[("aws:TagKeys", &["studiouserid"]), ("aws:RequestTag/studiouserid", &["ana"])],
    ),
    row(
        STUDIO,
        "Add a user profile without it",
        "sagemaker:CreateUserProfile",
        "arn:aws:sagemaker:us-east-1:111111111111:user-profile/d-team/ana",
    ),
    with(
        row(
            STUDIO,
            "Open one's own Studio",
            "sagemaker:CreatePresignedDomainUrl",
            "arn:aws:sagemaker:us-east-1:111111111111:user-profile/d-team/ana",
        ),
        OWN,
    ),
    with(
        row(
            STUDIO,
            "Open somebody else's Studio",
            "sagemaker:CreatePresignedDomainUrl",
            "arn:aws:sagemaker:us-east-1:111111111111:user-profile/d-team/ben",
        ),
        OTHER,
    ),
    with(
        row(JOBS, "Train inside the VPC", "sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:111111111111:training-job/churn"),
        VPC,
    ),
    row(JOBS, "Train outside the VPC", "sagemaker:CreateTrainingJob", "arn:aws:sagemaker:us-east-1:111111111111:training-job/churn"),
    with(
        row(
            JOBS,
            "Process data inside the VPC",
            "sagemaker:CreateProcessingJob",
            "arn:aws:sagemaker:us-east-1:111111111111:processing-job/prepare",
        ),
        VPC,
    ),
    row(
        JOBS,
        "Start a notebook instance outside the VPC",
        "sagemaker:CreateNotebookInstance",
        "arn:aws:sagemaker:us-east-1:111111111111:notebook-instance/ana",
    ),
    row(JOBS, "Make a pipeline", "sagemaker:CreatePipeline", "arn:aws:sagemaker:us-east-1:111111111111:pipeline/churn"),
    row(JOBS, "Start a pipeline", "sagemaker:StartPipelineExecution", "arn:aws:sagemaker:us-east-1:111111111111:pipeline/churn"),
    row(JOBS, "See a training job", "sagemaker:DescribeTrainingJob", "arn:aws:sagemaker:us-east-1:111111111111:training-job/churn"),
    row(
        JOBS,
        "Read a job's log",
        "logs:GetLogEvents",
        "arn:aws:logs:us-east-1:111111111111:log-group:/aws/sagemaker/TrainingJobs:log-stream:churn",
    ),
    row(MODELS, "Register a model", "sagemaker:CreateModelPackage", "arn:aws:sagemaker:us-east-1:111111111111:model-package/churn/1"),
    with(
        row(MODELS, "Approve a model", "sagemaker:UpdateModelPackage", "arn:aws:sagemaker:us-east-1:111111111111:model-package/churn/1"),
        &[("sagemaker:ModelApprovalStatus", &["Approved"])],
    ),
    with(row(MODELS, "Make a model inside the VPC", "sagemaker:CreateModel", "arn:aws:sagemaker:us-east-1:111111111111:model/churn"), VPC),
    row(MODELS, "Host a model", "sagemaker:CreateEndpoint", "arn:aws:sagemaker:us-east-1:111111111111:endpoint/churn"),
    row(MODELS, "Take a model off", "sagemaker:DeleteEndpoint", "arn:aws:sagemaker:us-east-1:111111111111:endpoint/churn"),
    row(MODELS, "Ask a hosted model", "sagemaker:InvokeEndpoint", "arn:aws:sagemaker:us-east-1:111111111111:endpoint/churn"),
    with(row(DATA, "Read the team's data through the VPC endpoint", "s3:GetObject", "arn:aws:s3:::team-data/customers.csv"), ENDPOINT),
    row(DATA, "Read the team's data from elsewhere", "s3:GetObject", "arn:aws:s3:::team-data/customers.csv"),
    with(
        row(DATA, "Write a model's file through the VPC endpoint", "s3:PutObject", "arn:aws:s3:::team-models/churn/model.tar.gz"),
        ENDPOINT,
    ),
    with(row(DATA, "Read another team's data", "s3:GetObject", "arn:aws:s3:::other-data/customers.csv"), ENDPOINT),
    with(row(DATA, "Make a bucket", "s3:CreateBucket", "arn:aws:s3:::new-bucket"), ENDPOINT),
    with(
        row(ROLES_OF, "Give SageMaker the execution role", "iam:PassRole", "arn:aws:iam::111111111111:role/SageMakerExecutionRole"),
        TO_SAGEMAKER,
    ),
    with(
        row(ROLES_OF, "Give SageMaker an administrator's role", "iam:PassRole", "arn:aws:iam::111111111111:role/DataScienceAdministrator"),
        TO_SAGEMAKER,
    ),
    with(row(ROLES_OF, "Give the catalog its launch role", "iam:PassRole", "arn:aws:iam::111111111111:role/SCLaunchRole"), TO_CATALOG),
    row(ROLES_OF, "Make an execution role", "iam:CreateRole", "arn:aws:iam::111111111111:role/SageMakerExecutionRole"),
    row(ROLES_OF, "Make an administrator's role", "iam:CreateRole", "arn:aws:iam::111111111111:role/DataScienceAdministrator"),
    row(ROLES_OF, "Make a user", "iam:CreateUser", "arn:aws:iam::111111111111:user/ana"),
    row(ROLES_OF, "Become a data scientist", "sts:AssumeRole", "arn:aws:iam::111111111111:role/DataScientist"),
    row(ROLES_OF, "Become the execution role", "sts:AssumeRole", "arn:aws:iam::111111111111:role/SageMakerExecutionRole"),
    row(BUILD, "Offer a product in the catalog", "servicecatalog:CreateProduct", "*"),
    row(BUILD, "Build from a template", "cloudformation:CreateStack", "arn:aws:cloudformation:us-east-1:111111111111:stack/team/1"),
    row(BUILD, "See what was built", "cloudformation:DescribeStacks", "arn:aws:cloudformation:us-east-1:111111111111:stack/team/1"),
    row(BUILD, "Make a VPC", "ec2:CreateVpc", "arn:aws:ec2:us-east-1:111111111111:vpc/vpc-1"),
    row(BUILD, "Make a project", "sagemaker:CreateProject", "arn:aws:sagemaker:us-east-1:111111111111:project/churn"),
    row(BUILD, "Read a setting", "ssm:GetParameter", "arn:aws:ssm:us-east-1:111111111111:parameter/team-dev-vpc"),
    row(BUILD, "Change a setting", "ssm:PutParameter", "arn:aws:ssm:us-east-1:111111111111:parameter/team-dev-vpc"),
];
