//! The stage `select`: selects the best trial of a search.

use crate::{
    choices, parameters,
    params::{Domain, Float},
    records::{Best, FrontTrial, HistoryLink, ParametersLink, Proposal, Record, Status, Version, chain},
    search::{front, knee, points},
    split,
    stage::{Context, Inputs, Outputs, Stage, StageError, StageId},
};

choices! {
    /// Which trial of a search is selected.
    #[derive(Copy, Eq)]
    pub enum Choose {
        /// The one at the knee of the front.
        Knee,
        /// The one of the front that is best in the objective with this number, from 0.
        Objective(u32),
        /// The trial with this number, which must have completed.
        Trial(u32),
    }
}

parameters! {
    /// Selects the completed trial with the least loss, or the first of several with equal losses. If points are trained several
    /// times, selects the first repetition of the point with the least mean: the best of all repetitions would only be the luckiest.
    ///
    /// Slots:
    /// - `history`: the `history.json` of the last trial.
    /// - `parameters`: the `parameters.json` of the last trial.
    ///
    /// Outputs:
    /// - `best.json`
    /// - `proposal.json`: equal to the best trial's, byte for byte.
    #[derive(Eq)]
    pub struct Select = defaults {
        /// The number of consecutive trials that train the same point.
        repeats: u32 [Domain::Whole(1..=u32::MAX)] = 1,
        /// Which trial is selected instead. Defaults to the best one by the first objective.
        pick: Option<Choose>,
        /// Whether the best point is that with the least upper bound of its mean, and not that with the least mean.
        by_bound: bool = false,
    }
}

impl Stage for Select {
    fn id(&self) -> StageId {
        StageId { name: "select", version: 1 }
    }

    fn run(&self, inputs: &Inputs<'_>, _: &Context<'_>) -> Result<Outputs, StageError> {
        let rows: Vec<HistoryLink> = chain::read(inputs, "history")?;
        let parameters: Vec<ParametersLink> = chain::read(inputs, "parameters")?;
        if rows.len() != parameters.len() {
            let message = format!("there are scores of {} trials and parameters of {}", rows.len(), parameters.len());
            return Err(StageError::failed(message));
        }
        let completed = || rows.iter().filter(|row| row.status == Status::Completed);
        let several = split::points_of(&rows, self.repeats);
        let front = several.iter().any(|point| point.len() > 1).then(|| front(&several));
        let picked = self.pick.as_ref().map(|pick| self.picked(pick, &rows, &several, front.as_deref())).transpose()?;
        let (best, loss, points) = if let Some(picked) = picked {
            (picked, picked.loss, None)
        } else if self.repeats == 1 {
            // `min_by` takes the first of equal losses, and rows are in the order of trials.
            let with_loss = completed().filter(|row| !row.loss.0.is_nan());
            let best = with_loss.min_by(|a, b| a.loss.0.total_cmp(&b.loss.0)).ok_or_else(|| no_best(&rows))?;
            (best, best.loss, None)
        } else {
            let losses: Vec<f64> = rows.iter().map(HistoryLink::loss_or_worst).collect();
            let points = points(&losses, self.repeats, self.by_bound);
            let best = points.first().filter(|point| point.is_complete()).ok_or_else(|| no_best(&rows))?;
            (&rows[best.trial as usize], best.mean, Some(points))
        };
        let link = &parameters[best.trial as usize];
        let record = Best {
            format: Version,
            trial: best.trial,
            loss,
            epoch: best.epoch,
            labels: link.labels.clone(),
            trials: rows.len(),
            completed: completed().count(),
            points,
            front: front.map(|front| front.into_iter().map(|at| self.of_front(at, &several)).collect()),
        };
        let proposal = inputs.object(&link.proposal)?.to_vec();
        Ok(Outputs::default().with_record(&record).with(Proposal::FILE, proposal))
    }
}

impl Select {
    /// Returns the trial that is picked. `points` has the losses of each point, and `front` the points of the front.
    fn picked<'r>(
        &self,
        pick: &Choose,
        rows: &'r [HistoryLink],
        points: &[Vec<f64>],
        front: Option<&[usize]>,
    ) -> Result<&'r HistoryLink, StageError> {
        let of_point = |at: usize| &rows[at * self.repeats as usize];
        let front = front.unwrap_or_default();
        let found = match pick {
            Choose::Knee => knee(points, front).map(of_point),
            Choose::Objective(k) => {
                let loss = |at: usize| points[at].get(*k as usize).copied().unwrap_or(f64::INFINITY);
                front.iter().copied().min_by(|a, b| loss(*a).total_cmp(&loss(*b)).then(a.cmp(b))).map(of_point)
            }
            Choose::Trial(trial) => rows.get(*trial as usize).filter(|row| row.status == Status::Completed),
        };
        found.ok_or_else(|| match pick {
            Choose::Trial(trial) => {
                let message = format!("trial {trial} cannot be picked: the search has no such trial that completed");
                StageError::failed_with_hint(message, "`pipe trials` lists them")
            }
            Choose::Knee | Choose::Objective(_) => no_best(rows),
        })
    }

    fn of_front(&self, at: usize, points: &[Vec<f64>]) -> FrontTrial {
        let losses = points[at].iter().copied().map(Float).collect();
        FrontTrial { trial: at as u32 * self.repeats, losses }
    }
}

/// Returns the error that no trial completed. It says how the first trials ended.
fn no_best(rows: &[HistoryLink]) -> StageError {
    let fate = |row: &HistoryLink| {
        let ended = match row.status {
            Status::Completed => "ended with a loss that is not a number",
            Status::Diverged => "diverged",
            Status::Failed => "failed",
        };
        let reason = row.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        format!("trial {} {ended}{reason}", row.trial)
    };
    let fates: Vec<_> = rows.iter().take(3).map(fate).collect();
    let message = format!("none of {} trials completed with a score: {}", rows.len(), fates.join("; "));
    StageError::failed_with_hint(message, "run the first trial on its own to see why, or narrow the space")
}
