//! End-to-end tests of `pipe`. Each test runs the program in a fresh folder with a cleared environment, and checks its output,
//! its files and its exit code. Anything that a unit test can show is tested there.
//!
//! | file             | what holds                                                                        |
//! |------------------|-----------------------------------------------------------------------------------|
//! | [`sandbox`]      | (the folder, the commands, the tiny study that the tests share)                   |
//! | [`why`]          | why nodes run is told, with the cause upstream                                    |
//! | [`reuse`]        | known results are reused, and nothing else is                                    |
//! | [`selection`]    | `--stage` runs its ancestors and itself, `--plan` runs nothing, `--rerun` again   |
//! | [`same_hash`]    | no digest depends on folder, jobs, threads, environment or checkpoints            |
//! | [`kills`]        | a run that was killed at any moment continues and ends with the same hash         |
//! | [`graphs`]       | pipelines with two data sets, two searches or none, and all kinds of retraining   |
//! | [`failures`]     | exit codes; failures are remembered, siblings run; divergence is a result         |
//! | [`together`]     | two processes, and two users, use one store at the same time                      |
//! | [`damage`]       | a damaged object is reported, never used, and computed again                      |
//! | [`overrides`]    | `--set` and `PIPE_SET` override values in the file                                |
//! | [`collection`]   | gc removes everything that no study needs, and nothing else                       |
//! | [`commands`]     | the output of the other commands                                                  |
//! | [`completion`]   | shells complete commands, studies, nodes, columns and fields                      |
//! | [`golden`]       | the output bytes of every stage are pinned                                        |
//! | [`exports`]      | pictures, and exports for other programs, complete or not at all                  |
//! | [`streams`]      | a study is finished although nobody listens; lost output is an error              |
//! | [`studies`]      | the files in `studies/` can be planned                                            |
//! | [`docs`]         | the code on the pages is run, their options and links exist                       |
//! | [`layers`]       | a network whose layers are written out can be used like any other                 |
//! | [`search`]       | grids with repetitions, halving, imported trials, importances                     |
//! | [`stopping`]     | searches that stop, limits, first proposals, what is remembered, several objectives |
//! | [`slurm`]        | launchers and the queue of a cluster execute nodes, and change nothing             |
//! | [`tags`]         | tags name studies and keep them                                                   |
//! | [`notes`]        | notes stand beside studies and change nothing in them                              |
//! | [`json`]         | every key of JSON for programs is in `docs/json.md`                               |
//! | [`lock`]         | a run elsewhere is compared with `pipeline.lock`                                  |
//! | [`check`]        | nodes are executed again and compared with their results                         |
//! | [`logs`]         | what nodes said is kept, also if they are reused, failed or crashed               |
//! | [`groups`]       | stages of a `ForEach` are named, alone and together, in every command              |
//! | [`pages`]        | the report and `diff --html` in a browser; folders in `diff`                      |
//! | [`predict`]      | a trained network classifies pictures                                             |
//! | [`programs`]     | programs of the user leave no process behind and go on after kills                |
//! | [`reference`]    | the reference tables on the pages are generated from the declarations              |
//! | [`sources`]      | folders and files of this disk, and downloads whose digests are not known yet       |
//! | [`remote`]         | studies are pushed and pulled (feature `remote`; with [`servers`])                |
//! | [`gpu`]            | a study on a GPU survives a kill (feature `wgpu`)                                 |
//! | [`test_split`]   | only evaluations read the test images                                             |

#![expect(clippy::disallowed_methods, reason = "tests write and move files of their own")]

mod check;
mod collection;
mod command;
mod commands;
mod completion;
mod damage;
mod docs;
mod exports;
mod failures;
mod golden;
#[cfg(feature = "wgpu")]
mod gpu;
mod graphs;
mod groups;
mod json;
mod kills;
mod layers;
mod lock;
mod logs;
mod notes;
mod overrides;
mod pages;
mod predict;
mod programs;
mod reference;
#[cfg(feature = "remote")]
mod remote;
mod reuse;
mod same_hash;
mod sandbox;
mod search;
mod selection;
#[cfg(feature = "remote")]
mod servers;
mod slurm;
mod sources;
mod stopping;
mod streams;
mod studies;
mod tags;
mod test_split;
mod together;
mod ui;
mod why;
