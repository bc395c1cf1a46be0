//! Stopping training jobs early (`TrainingJobEarlyStoppingType` Auto): the median rule.
//!
//! Each time a training job prints its objective counts as a step. One whose latest value is worse than the median of
//! what the others had on average up to the same step has no prospects ("Stop Training Jobs Early", Amazon SageMaker AI
//! Developer Guide). Training jobs that print their objective once, at their end, are never stopped.

use super::request::{Definition, Objective};
use crate::jobs::trial::{Standing, Trial};

/// Training jobs that must be over before any is judged by them.
const JUDGES: usize = 3;

/// The running training jobs that have no prospects.
pub(crate) fn hopeless<'a>(trials: &'a [Trial], definitions: &'a [Definition]) -> impl Iterator<Item = &'a Trial> {
    trials.iter().filter(|trial| {
        let Some(definition) = definitions.get(trial.definition()) else { return false };
        let judges = trials.iter().filter(|judge| {
            judge.definition() == trial.definition() && matches!(judge.standing(), Standing::Completed | Standing::Stopped)
        });
        let judges: Vec<_> = judges.map(Trial::progress).collect();
        trial.standing() == Standing::Running && is_hopeless(trial.progress(), &judges, &definition.objective)
    })
}

fn is_hopeless(progress: &[f64], judges: &[&[f64]], objective: &Objective) -> bool {
    let Some(latest) = progress.last() else { return false };
    let average = |values: &&[f64]| {
        let first = &values[..values.len().min(progress.len())];
        (!first.is_empty()).then(|| objective.less(first.iter().sum::<f64>() / first.len() as f64))
    };
    let mut averages: Vec<f64> = judges.iter().filter_map(average).collect();
    if averages.len() < JUDGES {
        return false;
    }
    averages.sort_by(f64::total_cmp);
    let (half, odd) = (averages.len() / 2, averages.len() % 2 == 1);
    let median = if odd { averages[half] } else { f64::midpoint(averages[half - 1], averages[half]) };
    objective.less(*latest) > median
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_the_others_decides() {
        let objective = |maximize| Objective { maximize, metric: "m".into() };
        let (a, b, c, d) = ([1.0, 0.5, 0.1], [2.0, 1.0, 0.5], [3.0, 2.0, 2.5], [9.0]);
        let judges: [&[f64]; 3] = [&a, &b, &c];
        // Averages up to the second step: 0.75, 1.5, 2.5.
        assert!(is_hopeless(&[3.0, 1.6], &judges, &objective(false)) && !is_hopeless(&[3.0, 1.5], &judges, &objective(false)));
        assert!(is_hopeless(&[3.0, 1.4], &judges, &objective(true)) && !is_hopeless(&[3.0, 1.6], &judges, &objective(true)));
        let four: [&[f64]; 4] = [&a, &b, &c, &d];
        // 0.75, 1.5, 2.5, 9: the median is 2.
        assert!(is_hopeless(&[1.0, 2.1], &four, &objective(false)) && !is_hopeless(&[1.0, 1.9], &four, &objective(false)));
        assert!(!is_hopeless(&[9.0, 9.0], &judges[..2], &objective(false)), "too few to judge by");
        assert!(!is_hopeless(&[], &judges, &objective(false)) && !is_hopeless(&[9.0], &[&[], &a, &b], &objective(false)));
    }
}
