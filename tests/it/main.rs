//! `pipe` from outside: each test gives the program a fresh folder and a cleared environment, and looks at what it says,
//! what it leaves and how it ends. What a lower level can show is tested there.
//!
//! | file             | what holds                                                                        |
//! |------------------|-----------------------------------------------------------------------------------|
//! | [`sandbox`]      | (the folder, the commands, the tiny study that the tests share)                   |
//! | [`reuse`]        | what is known is not run again, and nothing else decides                          |
//! | [`selection`]    | `--stage` runs its ancestors and itself, `--plan` runs nothing, `--rerun` again   |
//! | [`same_hash`]    | folder, jobs, threads, environment and cadence of checkpoints reach no digest     |
//! | [`kills`]        | killed or interrupted at any moment, a run goes on and ends with the same hash    |
//! | [`graphs`]       | two data sets, two searches, none; stages left out; the kinds of retraining       |
//! | [`failures`]     | exit codes; what failed is remembered, siblings go on; divergence is a result     |
//! | [`damage`]       | a damaged object is told, never used, and made again                              |
//! | [`overrides`]    | `--set` and `PIPE_SET` are as good as the file                                    |
//! | [`collection`]   | gc takes what no study needs, and only that                                       |
//! | [`commands`]     | what the other commands print                                                     |
//! | [`golden`]       | the bytes of every stage are pinned                                               |
//! | [`exports`]      | pictures, and a study in the formats of other programs                           |
//! | [`studies`]      | the files in `studies/` are taken as they stand                                   |
//! | [`docs`]         | the code on the pages is run, their options and links exist                       |
//! | [`layers`]       | a network written out in the pipeline goes wherever a network goes                |
//! | [`search`]       | grids with repetitions, halving, imported trials, importances                     |
//! | [`predict`]      | a trained network names what it sees                                              |
//! | [`reference`]    | the tables on the pages are those of the declarations                             |
//! | [`test_split`]   | evaluations alone read the test images                                            |

mod collection;
mod commands;
mod damage;
mod docs;
mod exports;
mod failures;
mod golden;
mod graphs;
mod kills;
mod layers;
mod overrides;
mod predict;
mod reference;
mod reuse;
mod same_hash;
mod sandbox;
mod search;
mod selection;
mod studies;
mod test_split;
