//! The tables and the models name the same operations.

use std::collections::BTreeSet;

#[test]
fn tables_are_the_models() {
    let table = tenantry_identity::table();
    for service in ["iam", "sts", "organizations"] {
        let served: BTreeSet<&str> = table.iter().filter(|row| row.service == service).map(|row| row.name).collect();
        let model = tenantry_wire::service(service).unwrap();
        for name in &served {
            let known = model.operation(name).is_some();
            assert!(known, "{service} {name} has no model");
        }
        let missing: Vec<&str> =
            model.operations().map(|operation| operation.name.as_str()).filter(|name| !served.contains(name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{service}");
    }
}
