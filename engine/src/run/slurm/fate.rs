//! What becomes of a job that is gone from the queue and has left no result.

use super::{
    super::launcher::Resources,
    note::{EndNote, JobEnd},
    scheduler::End,
};

/// What the attempts to execute a node have come to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Attempts {
    /// Those that ran out of memory.
    memory: u32,
    /// Those whose machine failed.
    machine: u32,
    /// Those that were stopped before they had done more than the ones before.
    idle: u32,
    /// Those that ended otherwise.
    other: u32,
    /// The most units of work that were done, as far as it is known.
    done: u64,
}

/// What is done about a job without a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// Another job is put into the queue, with what it needs, not on the machine, if one is named. The words say why.
    Again { resources: Resources, exclude: Option<String>, why: &'static str },
    /// Another job is put into the queue later, because another process executes the action.
    Later,
    /// The user cancelled it.
    Interrupted,
    /// It has failed.
    Failed,
}

/// How often a job is put into the queue again that ran out of memory.
const MEMORY: u32 = 2;
/// How often one whose machine failed.
const MACHINE: u32 = 3;
/// How often one that was stopped without progress, and how often one of which nothing is known.
const OTHER: u32 = 2;

impl Attempts {
    /// Decides what becomes of a job which ended like this, which left `note`, and which had done so many units of work when it said so
    /// last.
    pub(super) fn fate(
        &mut self,
        end: End,
        note: Option<&EndNote>,
        done: u64,
        host: &str,
        resources: Resources,
    ) -> Fate {
        let note = note.map(|note| &note.end);
        let again = |why| Fate::Again { resources, exclude: None, why };
        if let Some(JobEnd::Held) = note {
            return Fate::Later;
        }
        let (count, limit, fate) = match end {
            End::Cancelled => return Fate::Interrupted,
            End::OutOfMemory => {
                let memory = resources.memory.saturating_add(resources.memory / 2);
                let fate = Fate::Again {
                    resources: Resources { memory, ..resources },
                    exclude: None,
                    why: "ran out of memory, and is given half as much again",
                };
                (&mut self.memory, MEMORY, fate)
            }
            End::Machine => {
                let exclude = (!host.is_empty()).then(|| host.to_owned());
                let why = "is lost with its machine, and goes to another";
                (&mut self.machine, MACHINE, Fate::Again { resources, exclude, why })
            }
            _ if end == End::TimeLimit || end == End::Preempted || matches!(note, Some(JobEnd::Interrupted { .. })) => {
                let done = match note {
                    Some(JobEnd::Interrupted { done: at_end }) => done.max(*at_end),
                    _ => done,
                };
                let fate = again("was stopped by the cluster, and goes on from its checkpoint");
                if done > self.done {
                    self.done = done;
                    self.idle = 0;
                    return fate;
                }
                (&mut self.idle, OTHER, fate)
            }
            _ => (&mut self.other, OTHER, again("ended without a result, and is tried again")),
        };
        if *count >= limit {
            return Fate::Failed;
        }
        *count += 1;
        fate
    }
}

#[cfg(test)]
mod tests {
    use super::{super::note::Place, *};

    const NEEDS: Resources = Resources { threads: 1, memory: 400, gpus: 0 };

    fn interrupted(done: u64) -> EndNote {
        EndNote { batch: String::new(), place: Place::default(), end: JobEnd::Interrupted { done } }
    }

    #[test]
    fn a_job_that_ran_out_of_memory_gets_half_as_much_again_twice() {
        let (mut attempts, mut needs, mut asked) = (Attempts::default(), NEEDS, Vec::new());
        while let Fate::Again { resources, .. } = attempts.fate(End::OutOfMemory, None, 0, "a", needs) {
            needs = resources;
            asked.push(needs.memory);
        }
        assert_eq!(asked, [600, 900]);
    }

    #[test]
    fn a_machine_that_failed_is_left_out() {
        let mut attempts = Attempts::default();
        let mut left_out = Vec::new();
        while let Fate::Again { exclude, resources, .. } = attempts.fate(End::Machine, None, 0, "a", NEEDS) {
            assert_eq!(resources, NEEDS);
            left_out.push(exclude.unwrap());
        }
        assert_eq!(left_out, ["a", "a", "a"]);
        assert!(matches!(
            Attempts::default().fate(End::Machine, None, 0, "", NEEDS),
            Fate::Again { exclude: None, .. }
        ));
    }

    #[test]
    fn a_job_that_reaches_its_time_limit_goes_on_as_long_as_it_gets_ahead() {
        let mut attempts = Attempts::default();
        for done in 1..100 {
            // Its end says more than its last note, or there is none.
            let note = (done % 2 == 0).then(|| interrupted(done));
            let fate = attempts.fate(End::TimeLimit, note.as_ref(), if note.is_some() { 0 } else { done }, "a", NEEDS);
            assert!(matches!(fate, Fate::Again { .. }), "{done}");
        }
        let mut fates = (0..3).map(|_| attempts.fate(End::Failed, Some(&interrupted(99)), 99, "a", NEEDS));
        assert!(matches!(fates.next().unwrap(), Fate::Again { .. }));
        assert!(matches!(fates.next().unwrap(), Fate::Again { .. }));
        assert_eq!(fates.next().unwrap(), Fate::Failed);
    }

    #[test]
    fn a_job_of_which_nothing_is_known_is_tried_twice_more() {
        for end in [End::Completed, End::Failed, End::Forgotten] {
            let mut attempts = Attempts::default();
            let fates: Vec<_> = (0..3).map(|_| attempts.fate(end, None, 5, "a", NEEDS) == Fate::Failed).collect();
            assert_eq!(fates, [false, false, true], "{end:?}");
        }
    }

    #[test]
    fn what_was_cancelled_is_not_tried_again_and_what_another_has_is() {
        let mut attempts = Attempts::default();
        assert_eq!(attempts.fate(End::Cancelled, Some(&interrupted(9)), 9, "a", NEEDS), Fate::Interrupted);
        let held = EndNote { batch: String::new(), place: Place::default(), end: JobEnd::Held };
        for _ in 0..100 {
            assert_eq!(attempts.fate(End::Failed, Some(&held), 0, "a", NEEDS), Fate::Later);
        }
    }
}
