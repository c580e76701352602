//! Pictures of a study, and exports for other programs.

use std::{
    collections::BTreeSet,
    fs,
    io::Read,
    os::unix::fs::{OpenOptionsExt, PermissionsExt, symlink},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use insta::assert_snapshot;
use rustix::fs::OFlags;

use crate::sandbox::{NODES, Output, Sandbox, base};

#[test]
fn pictures_are_svg_with_a_title() {
    let sandbox = Sandbox::after_run();
    for kind in [
        "history",
        "curves",
        "scatter-matrix",
        "parallel",
        "slice",
        "histograms",
        "edf",
        "rank --columns lr_rate_mult,activation",
        "convergence",
        "timeline",
        "contour --x lr_rate_mult --y activation",
        "scatter3d --x lr_rate_mult --y activation",
    ] {
        let output = sandbox.pipe(&format!("plot {kind}")).ok();
        assert!(output.out.starts_with("<svg") && output.out.contains("<title>"), "{kind}: {}", output.out);
    }
    assert_snapshot!(sandbox.pipe("plot history tiny --out history.svg").shown(), @"
      history.svg
    exit 0
    ");
    assert_eq!(fs::read_to_string(sandbox.path("history.svg")).unwrap(), sandbox.pipe("plot history").ok().out);
    assert_snapshot!(sandbox.pipe("plot slice --columns activaton").shown(), @"
    ! error: trials have no column `activaton`: did you mean `activation`?
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("plot importance").shown(), @"
    ! error: importances need at least 11 trials with a score, and 3 have one
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("plot repeats").shown(), @"
    ! error: no configuration was tried more than once
    exit 2
    ");
}

#[test]
fn filters_are_drawn_by_both_methods_with_examples() {
    let sandbox = Sandbox::after_run();
    let classic = "(\"visualize_filters\", VisualizeFilters(of: \"retrain_best\", steps: 3)),";
    let fourier = "(\"fourier\", VisualizeFilters(of: \"retrain_best\", method: Fourier(steps: 2), examples: 2)),";
    sandbox.edit(classic, &format!("{classic}\n{fourier}"));
    assert_eq!(sandbox.run("").ok().nodes("executed"), ["fourier".to_owned()].into());
    let files = |node: &str| -> Vec<String> {
        sandbox.pipe(&format!("export {node} {node}")).ok();
        let files = fs::read_dir(sandbox.path(node)).unwrap();
        let mut names: Vec<_> = files.map(|file| file.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    };
    let sheets = |node: &str, part: &str| files(node).iter().filter(|name| name.contains(part)).count();
    let layers = sheets("visualize_filters", "_best_filters_");
    assert!(layers > 0);
    for (node, part) in
        [("visualize_filters", "_examples.png"), ("fourier", "_fourier_filters_"), ("fourier", "_examples.png")]
    {
        fs::remove_dir_all(sandbox.path(node)).ok();
        assert_eq!(sheets(node, part), layers, "{node} {part}");
    }
    let examples: serde_json::Value =
        serde_json::from_str(&sandbox.pipe("cat fourier/examples.json").ok().out).unwrap();
    let filter = &examples["layers"][0]["filters"][0]["images"];
    assert_eq!((&examples["images"], filter.as_array().unwrap().len()), (&100.into(), 2));
    assert!(
        filter[0]["labels"]["coarse"].is_string()
            && filter[0]["activation"].as_f64() >= filter[1]["activation"].as_f64()
    );
    let report = sandbox.pipe("report --output report.html");
    report.ok();
    let page = fs::read_to_string(sandbox.path("report.html")).unwrap();
    assert!(page.contains("in a Fourier basis") && page.contains("the 8 of the 100 validation images"));
    sandbox.edit("Fourier(steps: 2)", "Fourier(steps: 0)");
    let refused = sandbox.pipe("run --plan");
    assert!(
        refused.err.contains("`steps`: found `0`") && refused.err.contains("expected a whole number of 1 to 10000"),
        "{}",
        refused.err
    );
}

#[test]
fn the_network_of_a_proposal_is_drawn_trained_or_not() {
    let sandbox = Sandbox::after_run();
    let layers = |node: &str| {
        let svg = sandbox.pipe(&format!("plot architecture {node}")).ok().out;
        svg[svg.find("<path class=\"wire\"").unwrap()..].to_owned()
    };
    assert!(layers("search/train/1") == layers("search/propose/1"), "one network, trained or not");
    sandbox.write("mine.json", r#"{ "pooling_type": "inception", "residual": 2 }"#);
    let mine = sandbox.pipe("plot architecture search --proposal mine.json").ok().out;
    assert!(mine.contains(">concatenate_1<") && mine.contains(">add_1<"), "{mine}");
    assert_snapshot!(sandbox.pipe("plot architecture retrain_best --out network.png").shown(), @"
    ! error: `network.png`: pictures are written as SVG
    !   hint: write `network.svg`, then `rsvg-convert --zoom 2 network.svg --output network.png`
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("plot architecture flip").shown(), @"
    ! error: `flip` is neither a training nor a proposal: it has no network
    !   hint: name a training or a proposal, such as `search/train/003`
    exit 2
    ");
}

#[test]
fn the_timeline_has_every_node() {
    let sandbox = Sandbox::after_run();
    let timeline = sandbox.pipe("show --timeline").ok().out;
    assert_eq!(timeline.lines().filter(|line| line.contains('|')).count(), NODES);
}

#[test]
fn a_study_is_exported_for_other_programs() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export --tensorboard runs").ok();
    let folder = own_runs();
    for run in [
        "",
        "search/train/000/",
        "search/train/000/train/",
        "retrain_best/validation/",
        "retrain_best/",
        "visualize_filters/",
        "data/",
    ] {
        let file = fs::read(sandbox.path(format!("runs/{folder}/{run}events.out.tfevents.0.pipe"))).unwrap();
        assert!(file.windows(13).any(|window| window == b"brain.Event:2"), "{run}");
    }
    sandbox.pipe("export --results results tiny").ok();
    let results = fs::read_dir(sandbox.path("results").join(own_folder())).unwrap();
    let results: Vec<_> = results.map(|entry| entry.unwrap().path()).collect();
    assert_eq!(results.len(), 3);
    let result: serde_json::Value = serde_json::from_slice(&fs::read(&results[0]).unwrap()).unwrap();
    assert!(result["space"]["activation"].is_string() && result["history"]["val_coarse_outputs_acc"].is_array());
    let first = sandbox.pipe("export --mlflow mlruns").ok();
    let [experiment] = names(&sandbox.path("mlruns")).try_into().unwrap();
    let meta = fs::read_to_string(sandbox.path("mlruns").join(&experiment).join("meta.yaml")).unwrap();
    assert!(meta.contains(&format!("experiment_id: \"{experiment}\"\n")), "{meta}");
    assert_eq!(first.err.lines().filter(|line| line.ends_with("/tags/node")).count(), 4, "three trials and one more");
    assert!(sandbox.pipe("export --mlflow mlruns").ok().err.ends_with(" is already there\n"));
    sandbox.pipe("export --onnx retrain_best network.onnx").ok();
    assert!(fs::read(sandbox.path("network.onnx")).unwrap().windows(11).any(|window| window == b"fine_logits"));
    assert_snapshot!(sandbox.pipe("export --onnx retrain_best network.onnx").shown(), @"
    ! error: `network.onnx` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
}

/// Returns the name of the folder of the tiny study.
fn own_folder() -> String {
    format!("tiny-{}", &base().hash[..12])
}

/// Returns the folder of the runs of the tiny study: TensorBoard shows the study's name as a level of its own.
fn own_runs() -> String {
    format!("tiny/{}", &base().hash[..12])
}

/// Returns everything beside the store, as paths.
fn beside_store(sandbox: &Sandbox) -> BTreeSet<String> {
    let root = sandbox.path("");
    let paths = sandbox.listing().into_keys().map(|path| path.strip_prefix(&root).unwrap().display().to_string());
    paths.filter(|path| path != ".pipe" && !path.starts_with(".pipe/")).collect()
}

/// Returns the names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Runs a command that may write no file of more than `kib` KiB. The first longer one is an error.
fn limited(sandbox: &Sandbox, args: &str, kib: usize) -> Output {
    // POSIX counts in blocks of 512 bytes.
    let script = format!("ulimit -f {}; exec {} {args}", kib * 2, env!("CARGO_BIN_EXE_pipe"));
    sandbox.output(Command::new("sh").args(["-c", &script]).env_clear().current_dir(sandbox.path("")))
}

/// Commands that write, what they make, and a limit in KiB that stops them.
fn writing() -> [(&'static str, String, usize); 8] {
    let own = own_folder();
    [
        ("export retrain_best net", "net".to_owned(), 4),
        ("export retrain_best/best/weights.safetensors w", "w".to_owned(), 4),
        ("export --onnx retrain_best deep/er/net.onnx", "deep/er/net.onnx".to_owned(), 4),
        ("export --tensorboard runs", format!("runs/{}", own_runs()), 4),
        ("export --results results", format!("results/{own}"), 1),
        ("plot history --out history.svg", "history.svg".to_owned(), 1),
        ("report --output page.html", "page.html".to_owned(), 4),
        ("init new.ron", "new.ron".to_owned(), 1),
    ]
}

#[test]
fn an_error_leaves_nothing_behind_and_the_next_call_works() {
    let sandbox = Sandbox::after_run();
    for (args, made, kib) in writing() {
        let before = beside_store(&sandbox);
        let failed = limited(&sandbox, args, kib);
        assert_eq!(failed.code, Some(1), "{args}: {}", failed.err);
        assert!(failed.err.contains("cannot be written: File too large"), "{args}: {}", failed.err);
        assert_eq!(beside_store(&sandbox), before, "{args}");
        sandbox.pipe(args).ok();
        assert!(sandbox.path(made).exists(), "{args}");
        assert!(!beside_store(&sandbox).iter().any(|path| path.contains(".pipe-")), "{args}");
    }
}

/// Returns whether something is being written in a folder, which other processes change meanwhile.
fn is_being_written(folder: &Path) -> bool {
    let mut entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.any(|path| {
        let is_draft = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(".pipe-draft-"));
        is_draft || (!path.ends_with(".pipe") && is_being_written(&path))
    })
}

#[test]
fn a_kill_leaves_nothing_under_the_name_and_the_next_call_cleans_up() {
    let sandbox = Sandbox::after_run();
    for (args, made, _) in writing() {
        let left = |path: &String| path.contains(".pipe-draft-");
        // It is killed as soon as it has begun to write. If it was faster, it is started again.
        let killed = (0..200).any(|_| {
            let mut child = sandbox.command(args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() && !is_being_written(&sandbox.path("")) {}
            child.kill().unwrap();
            child.wait().unwrap();
            let whole = sandbox.path(&made);
            if whole.is_dir() {
                fs::remove_dir_all(whole).unwrap()
            } else {
                drop(fs::remove_file(whole))
            }
            beside_store(&sandbox).iter().any(left)
        });
        assert!(killed, "{args}: it was killed while it wrote");
        sandbox.pipe(args).ok();
        assert!(!beside_store(&sandbox).iter().any(left), "{args}");
    }
}

#[test]
fn an_export_is_whole_or_absent_whatever_the_store_cannot_read() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export retrain_best right").ok();
    let right = crate::sandbox::contents(&sandbox.path("right"));
    let (mut at, mut failed, mut in_a_row) = (0, 0, 0);
    // Until there is no operation of this number.
    while in_a_row < 10 {
        let root = sandbox.path(".pipe").canonicalize().unwrap();
        let fault = format!("{}\n{at}\n24", root.display());
        let output = sandbox.output(sandbox.command("export retrain_best net").env("PIPE_FAULT", fault));
        match output.code {
            Some(0) => assert_eq!(crate::sandbox::contents(&sandbox.path("net")), right, "operation {at}"),
            _ => assert!(!sandbox.path("net").exists(), "operation {at}: {}", output.err),
        }
        let _ = fs::remove_dir_all(sandbox.path("net"));
        failed += usize::from(output.code != Some(0));
        in_a_row = if output.code == Some(0) { in_a_row + 1 } else { 0 };
        at += 1;
    }
    assert!(failed > 10, "{failed} of {at}");
}

#[test]
fn the_report_in_the_store_is_whole_or_absent() {
    let sandbox = Sandbox::after_run();
    let reports = sandbox.path(".pipe/reports");
    let whole = sandbox.stored("reports");
    fs::remove_dir_all(reports.join(own_folder())).unwrap();
    limited(&sandbox, "report", 4);
    assert!(!reports.join(own_folder()).exists());
    sandbox.pipe("report").ok();
    assert_eq!(sandbox.stored("reports"), whole);
    // One of another version is replaced as a whole.
    let page = reports.join(own_folder()).join("report.html");
    fs::write(&page, "old").unwrap();
    fs::write(reports.join(own_folder()).join("gone.png"), "old").unwrap();
    sandbox.pipe("report").ok();
    assert_eq!(sandbox.stored("reports"), whole);
    assert!(fs::read(&page).unwrap().len() > 1000);
}

#[test]
fn what_another_export_is_writing_and_what_is_not_an_exports_stays() {
    let sandbox = Sandbox::after_run();
    let live = sandbox.path(".pipe-draft-live");
    fs::create_dir_all(live.join("new")).unwrap();
    let lock = fs::File::open(&live).unwrap();
    lock.lock().unwrap();
    fs::create_dir_all(sandbox.path(".pipe-draft-mine/notes")).unwrap();
    sandbox.write(".pipe-draft-file", "mine");
    sandbox.pipe("export flip/policy.json policy.json").ok();
    for kept in [".pipe-draft-live/new", ".pipe-draft-mine/notes", ".pipe-draft-file"] {
        assert!(sandbox.path(kept).exists(), "{kept}");
    }
    drop(lock);
    sandbox.pipe("export flip/policy.json again.json").ok();
    assert!(!live.exists());
    assert!(sandbox.path(".pipe-draft-mine/notes").exists());
}

#[test]
fn a_folder_that_was_moved_away_by_an_export_that_was_killed_is_put_back() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("export flip out").ok();
    let stage = sandbox.path(".pipe-draft-killed");
    fs::create_dir_all(stage.join("old")).unwrap();
    fs::create_dir_all(stage.join("new")).unwrap();
    fs::rename(sandbox.path("out"), stage.join("old/out")).unwrap();
    sandbox.pipe("export flip/policy.json policy.json").ok();
    assert_eq!(names(&sandbox.path("out")), ["policy.json", "preview.png"]);
    assert!(!stage.exists());
}

#[test]
fn nothing_is_written_through_a_link() {
    let sandbox = Sandbox::after_run();
    sandbox.write("mine", "mine");
    symlink("mine", sandbox.path("link")).unwrap();
    symlink("nowhere", sandbox.path("dangling")).unwrap();
    let mut snapshot = String::new();
    for args in [
        "export flip/policy.json link",
        "export flip/policy.json dangling",
        "export --onnx retrain_best link",
        "plot history --out link",
        "report --output dangling",
        "init link",
        "import-trials trials.json --out dangling",
        "export flip link",
        "export flip dangling",
        "export --tensorboard dangling",
    ] {
        sandbox.write("trials.json", &sandbox.pipe("trials --json").ok().out);
        let refused = sandbox.pipe(args);
        assert_ne!(refused.code, Some(0), "{args}");
        snapshot += &format!("{args}\n{}", refused.shown());
        assert_eq!(fs::read_to_string(sandbox.path("mine")).unwrap(), "mine", "{args}");
        assert!(!sandbox.path("nowhere").exists(), "{args}");
    }
    assert_snapshot!(snapshot, @"
    export flip/policy.json link
    ! error: `link` is a link
    !   hint: `--force` replaces the link
    exit 2
    export flip/policy.json dangling
    ! error: `dangling` is a link
    !   hint: `--force` replaces the link
    exit 2
    export --onnx retrain_best link
    ! error: `link` is a link
    !   hint: `--force` replaces the link
    exit 2
    plot history --out link
    ! error: `link` is a link
    !   hint: name the file that it leads to, or remove the link
    exit 2
    report --output dangling
    ! error: `dangling` is a link
    !   hint: name the file that it leads to, or remove the link
    exit 2
    init link
    ! error: `link` is a link
    !   hint: `--force` replaces the link
    exit 2
    import-trials trials.json --out dangling
    ! error: `dangling` is a link
    !   hint: name the file that it leads to, or remove the link
    exit 2
    export flip link
    ! error: `link` is not a folder
    exit 2
    export flip dangling
    ! error: `dangling` is not a folder
    exit 2
    export --tensorboard dangling
    ! error: `dangling` cannot be made: File exists (os error 17)
    exit 1
    ");
    // `--force` replaces the link itself.
    for link in ["link", "dangling"] {
        sandbox.pipe(&format!("export flip/policy.json {link} --force")).ok();
        assert!(fs::symlink_metadata(sandbox.path(link)).unwrap().is_file());
    }
    assert_eq!(fs::read_to_string(sandbox.path("mine")).unwrap(), "mine");
    assert!(!sandbox.path("nowhere").exists());
    // A folder may be reached through a link.
    fs::create_dir(sandbox.path("real")).unwrap();
    symlink("real", sandbox.path("folder")).unwrap();
    sandbox.pipe("export --tensorboard folder").ok();
    sandbox.pipe("export flip/policy.json folder").ok();
    sandbox.pipe("export flip folder/flip").ok();
    assert_eq!(names(&sandbox.path("real")), ["flip", "policy.json", "tiny"]);
    fs::remove_dir_all(sandbox.path("real")).unwrap();
    fs::create_dir(sandbox.path("real")).unwrap();
    sandbox.pipe("export flip folder").ok();
    assert_eq!(names(&sandbox.path("real")), ["policy.json", "preview.png"]);
    assert!(sandbox.path("folder").is_symlink());
    // The user did not name the folder of a study: `--force` replaces a link there itself.
    fs::create_dir_all(sandbox.path("runs/tiny")).unwrap();
    symlink("../../real", sandbox.path("runs").join(own_runs())).unwrap();
    assert_eq!(sandbox.pipe("export --tensorboard runs").code, Some(2));
    sandbox.pipe("export --tensorboard runs --force").ok();
    assert!(!sandbox.path("runs").join(own_runs()).is_symlink());
    assert_eq!(names(&sandbox.path("real")), ["policy.json", "preview.png"]);
    let report = sandbox.path(".pipe/reports").join(own_folder());
    fs::remove_dir_all(&report).unwrap();
    symlink("../../real", &report).unwrap();
    sandbox.pipe("report").ok();
    assert!(!report.is_symlink() && report.join("report.html").is_file());
    assert_eq!(names(&sandbox.path("real")), ["policy.json", "preview.png"]);
}

#[test]
fn studies_have_folders_of_their_own() {
    let sandbox = Sandbox::after_run();
    let other = sandbox.run("--set name=other --stage search").ok().hash();
    for (kind, expected, own) in [
        ("tensorboard", ["other".to_owned(), "tiny".to_owned()], own_runs()),
        ("results", [format!("other-{}", &other[..12]), own_folder()], own_folder()),
    ] {
        for study in ["tiny", "other"] {
            sandbox.pipe(&format!("export --{kind} {kind} {study}")).ok();
        }
        assert_eq!(names(&sandbox.path(kind)), expected);
        let named = own;
        let own = sandbox.path(kind).join(&named);
        let again = sandbox.pipe(&format!("export --{kind} {kind} tiny")).ok();
        assert_eq!(again.err, format!("{kind}/{named} is already there\n"));
        // Another file, or another content, is not overwritten without `--force`, which replaces the folder.
        let one = walk_one(&own);
        let content = fs::read(&one).unwrap();
        for (path, text) in [(one.clone(), "changed"), (own.join("mine"), "mine")] {
            fs::write(&path, text).unwrap();
            assert_eq!(sandbox.pipe(&format!("export --{kind} {kind} tiny")).code, Some(2));
            assert_eq!(fs::read_to_string(&path).unwrap(), text);
            sandbox.pipe(&format!("export --{kind} {kind} tiny --force")).ok();
            assert_eq!(fs::read(&one).unwrap(), content);
        }
        assert!(!own.join("mine").exists());
        assert_eq!(names(&sandbox.path(kind)), expected);
    }
}

/// Returns one of the files in a folder.
fn walk_one(folder: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.into_iter().find(|path| path.is_file()).unwrap()
}

#[test]
fn a_node_is_exported_to_a_folder_that_has_nothing_else() {
    let sandbox = Sandbox::after_run();
    fs::create_dir(sandbox.path("empty")).unwrap();
    fs::set_permissions(sandbox.path("empty"), fs::Permissions::from_mode(0o750)).unwrap();
    sandbox.pipe("export flip empty").ok();
    assert_eq!(names(&sandbox.path("empty")), ["policy.json", "preview.png"]);
    assert_eq!(fs::metadata(sandbox.path("empty")).unwrap().permissions().mode() & 0o777, 0o750);

    fs::write(sandbox.path("empty/policy.json"), "changed").unwrap();
    assert_snapshot!(sandbox.pipe("export flip empty").shown(), @"
    ! error: `empty` exists already
    !   hint: `--force` overwrites it
    exit 2
    ");
    sandbox.pipe("export flip empty --force").ok();
    assert!(fs::read_to_string(sandbox.path("empty/policy.json")).unwrap().contains("RandomFlip"));
    fs::write(sandbox.path("empty/notes.txt"), "mine").unwrap();
    assert_snapshot!(sandbox.pipe("export flip empty --force").shown(), @"
    ! error: `empty` has other files, such as `notes.txt`
    !   hint: move them away, or name another folder
    exit 2
    ");
    assert_eq!(fs::read_to_string(sandbox.path("empty/notes.txt")).unwrap(), "mine");
    assert_snapshot!(sandbox.pipe("export flip . --force").shown(), @"
    ! error: `SANDBOX` has other files, such as `.pipe/actions/07/1f6f57ae52da58ba83988402317f9d2a06df4a0b88171b0cf7a30dd37f5117.json`
    !   hint: move them away, or name another folder
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("export flip empty/notes.txt").shown(), @"
    ! error: `empty/notes.txt` is not a folder
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("export flip/policy.json absent/").shown(), @"
    ! error: `absent/` is not a folder
    exit 2
    ");
    assert_snapshot!(sandbox.pipe("export --onnx retrain_best empty").shown(), @"
    ! error: `empty` is a folder
    !   hint: name a file in it
    exit 2
    ");
    // In an empty folder, `.` cannot be replaced.
    fs::create_dir(sandbox.path("here")).unwrap();
    let mut command = sandbox.command("export flip . --store ../.pipe");
    assert_snapshot!(sandbox.output(command.current_dir(sandbox.path("here"))).shown(), @"
    ! error: `SANDBOX/here` cannot be replaced as a whole: it is the current folder or a mount point
    !   hint: name a folder in it that does not exist, such as `SANDBOX/here/exported`
    exit 2
    ");
    assert!(sandbox.path("here").is_dir());
}

#[test]
fn a_copy_has_the_permissions_of_a_new_file_or_of_the_one_it_replaces() {
    let sandbox = Sandbox::after_run();
    sandbox.write("new", "");
    let mode = |path: &str| fs::metadata(sandbox.path(path)).unwrap().permissions().mode() & 0o7777;
    sandbox.pipe("export flip/policy.json policy.json").ok();
    assert_eq!(mode("policy.json"), mode("new"));
    fs::set_permissions(sandbox.path("policy.json"), fs::Permissions::from_mode(0o600)).unwrap();
    sandbox.pipe("export flip/policy.json policy.json --force").ok();
    assert_eq!(mode("policy.json"), 0o600);
}

#[test]
fn a_pipe_is_written_to_and_not_replaced() {
    let sandbox = Sandbox::after_run();
    let fifo = sandbox.path("fifo");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for args in ["export flip/policy.json fifo", "plot history --out fifo", "report --output fifo"] {
        let path = fifo.clone();
        let reader = thread::spawn(move || {
            let mut read = Vec::new();
            fs::File::open(path).unwrap().read_to_end(&mut read).unwrap();
            read
        });
        let output = sandbox.pipe(args);
        // If the command has not opened it, this ends the wait. If it has, nobody waits.
        let flags = OFlags::NONBLOCK.bits().try_into().unwrap();
        drop(fs::OpenOptions::new().write(true).custom_flags(flags).open(&fifo));
        assert_eq!(output.code, Some(0), "{args}: {}", output.err);
        assert!(reader.join().unwrap().len() > 100, "{args}");
        assert!(!fs::symlink_metadata(&fifo).unwrap().is_file(), "{args}");
    }
}
