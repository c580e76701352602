//! The pages of `pipe report` and `pipe diff --html`, and their script in a browser.

use std::{
    fs,
    process::{Command, Stdio},
};

use serde_json::Value;

use crate::sandbox::{Sandbox, base, skipped};

/// Returns what a browser makes of a page, or `None` if there is no browser.
pub(crate) fn browsed(address: &str) -> Option<String> {
    let browser = ["chromium", "chromium-browser", "google-chrome"].into_iter().find(|name| {
        let found = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        found.is_ok_and(|status| status.success())
    })?;
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args(["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(address)
        .stderr(Stdio::null())
        .output()
        .unwrap();
    Some(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn the_script_of_the_report_sorts_filters_and_chooses() {
    let sandbox = Sandbox::after_run();
    sandbox.pipe("report --output report.html").ok();
    let page = std::fs::read_to_string(sandbox.path("report.html")).unwrap();
    let act = "<script>
        document.querySelector('tr[data-trial]').click();
        const head = [...document.querySelectorAll('table.sortable th')].find((head) => head.textContent === 'lr_rate_mult');
        head.click(); head.click();
        const rows = [...head.closest('table').tBodies[0].rows];
        document.title = rows.map((row) => row.cells[rows[0].cells.length - 1].textContent).join(' > ');
        </script></body>";
    sandbox.write("acted.html", &page.replace("</body>", act));
    let Some(dom) = browsed(&format!("file://{}", sandbox.path("acted.html").display())) else {
        return skipped("there is no Chromium");
    };
    assert!(dom.contains("<title>0.91369 &gt; 0.8606 &gt; 0.69147</title>"), "{}", &dom[..2000.min(dom.len())]);
    assert_eq!(dom.matches("aria-sort=\"descending\"").count(), 1);
    let chosen = dom.split("chosen\"").count() - 1;
    assert!(chosen >= 2, "a row and its curves, not {chosen}");
}

/// Does something with the page `page` in a browser and returns what `seen` then says, or `None` if there is no browser. `act` can use
/// `point`, which sends an event of the pointer to an element.
fn acted(sandbox: &Sandbox, page: &str, act: &str) -> Option<Value> {
    let page = fs::read_to_string(sandbox.path(page)).unwrap();
    let script = format!(
        "<script>
        const seen = {{}};
        const point = (element, kind, x, y) => element.dispatchEvent(new PointerEvent(kind, {{
            clientX: x, clientY: y, bubbles: true, cancelable: true, pointerType: 'mouse', button: 0,
        }}));
        const drag = (element, [x, y], [toX, toY]) => {{
            point(element, 'pointerdown', x, y);
            point(element, 'pointermove', toX, toY);
            point(element, 'pointerup', toX, toY);
        }};
        const bar = document.querySelector('.selection'), tip = document.querySelector('.hover');
        try {{ {act} }} catch (error) {{ seen.error = String(error); }}
        document.body.dataset.seen = JSON.stringify(seen);
        </script></body>"
    );
    sandbox.write("acted.html", &page.replace("</body>", &script));
    let dom = browsed(&format!("file://{}", sandbox.path("acted.html").display()))?;
    let seen = dom.split("data-seen=\"").nth(1).and_then(|rest| rest.split('"').next()).expect("the script ran");
    let seen: Value = serde_json::from_str(&seen.replace("&quot;", "\"").replace("&amp;", "&")).unwrap();
    assert_eq!(seen["error"], Value::Null, "{seen}");
    Some(seen)
}

/// Returns a folder with a study of five trials, and its report.
fn reported() -> Sandbox {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set search.trials=5").ok();
    sandbox.pipe("report --output report.html").ok();
    sandbox
}

#[test]
fn charts_say_what_is_under_the_pointer() {
    let sandbox = reported();
    let act = "
        const near = (path, at) => {
            const place = path.getPointAtLength(at).matrixTransform(path.getScreenCTM());
            point(path.ownerSVGElement, 'pointermove', place.x + 2, place.y + 2);
            return tip.hidden ? null : tip.textContent;
        };
        seen.curve = near(document.querySelector('#curves path.line[data-name=validation]'), 0);
        const mark = document.querySelector('#search circle.mark[data-trial]').getBoundingClientRect();
        point(document.querySelector('#search svg'), 'pointermove', mark.x + 3, mark.y + 3);
        seen.trial = tip.textContent;
        const cell = document.querySelector('g.matrix path.cell'), square = cell.getBoundingClientRect();
        point(cell, 'pointermove', square.x + square.width / 2, square.y + square.height / 2);
        seen.cell = tip.textContent;
        seen.band = document.querySelector('rect.band').getAttribute('visibility');
        point(document.body, 'pointermove', 1, 1);
        seen.away = tip.hidden;
        seen.titles = document.querySelectorAll('svg title').length;";
    let Some(seen) = acted(&sandbox, "report.html", act) else { return skipped("there is no Chromium") };
    let text = |key: &str| seen[key].as_str().unwrap_or_default().to_owned();
    assert!(text("curve").starts_with("validation, epoch 1: "), "{seen}");
    assert!(text("trial").starts_with("trial ") && text("trial").ends_with('%'), "{seen}");
    assert!(text("cell").contains(" as ") && text("cell").contains(" of ") && text("band") == "visible", "{seen}");
    assert_eq!((&seen["away"], &seen["titles"]), (&true.into(), &0.into()));
}

#[test]
fn a_drag_along_an_axis_chooses_trials_everywhere() {
    let sandbox = reported();
    let act = "
        const shown = () => [...document.querySelectorAll('tr[data-trial]')].filter((row) => !row.hidden).length;
        const out = (what) => document.querySelectorAll(what + '.out').length;
        const grips = [...document.querySelectorAll('rect.grip')];
        // The objective is the last axis: its upper end has the best trial.
        const box = grips[grips.length - 1].getBoundingClientRect();
        const x = box.x + box.width / 2;
        seen.before = shown();
        drag(grips[grips.length - 1], [x, box.y + 2], [x, box.y + 30]);
        seen.after = shown();
        seen.best = !document.querySelector('tr.best').hidden;
        seen.curves = out('#curves path.line');
        seen.ways = out('path.way');
        seen.points = out('circle.mark');
        seen.ghosts = [...document.querySelectorAll('path.dot.out')].filter((path) => path.getAttribute('d')).length;
        seen.bar = bar.textContent;
        bar.querySelector('button').click();
        seen.cleared = [shown(), out('path.line'), bar.hidden];";
    let Some(seen) = acted(&sandbox, "report.html", act) else { return skipped("there is no Chromium") };
    let count = |key: &str| seen[key].as_u64().unwrap();
    let (before, after) = (count("before"), count("after"));
    assert!(before == 5 && (1..5).contains(&after) && seen["best"] == true, "{seen}");
    // Two charts of curves, one of the objective.
    assert_eq!((count("curves"), count("ways"), count("points")), (2 * (5 - after), 5 - after, 5 - after), "{seen}");
    assert!(count("ghosts") > 0, "{seen}");
    assert!(
        seen["bar"].as_str().unwrap().starts_with(&format!("{after} of 5 trials, by valid.fine_accuracy")),
        "{seen}"
    );
    assert_eq!(seen["cleared"], serde_json::json!([5, 0, true]));
}

#[test]
fn a_trial_leads_to_its_row_its_curve_and_its_points() {
    let sandbox = reported();
    let act = "
        const curve = document.querySelector('#curves path.line[data-trial=\"search/2\"]');
        curve.dispatchEvent(new MouseEvent('click', { bubbles: true }));
        const chosen = () => [...document.querySelectorAll('.chosen')];
        seen.kinds = [...new Set(chosen().map((one) => one.tagName.toLowerCase() + '.' + one.classList[0]))].sort();
        seen.row = document.querySelector('tr.chosen').dataset.trial;
        seen.bar = bar.textContent;
        seen.links = [...bar.querySelectorAll('button')].map((button) => button.textContent);
        let scrolled = null;
        Element.prototype.scrollIntoView = function () { scrolled = this.tagName; };
        bar.querySelector('button').click();
        seen.scrolled = scrolled;
        document.querySelector('tr[data-trial=\"search/2\"]').click();
        seen.left = chosen().filter((one) => one.getAttribute('d') !== '').length;";
    let Some(seen) = acted(&sandbox, "report.html", act) else { return skipped("there is no Chromium") };
    assert_eq!(seen["kinds"], serde_json::json!(["circle.mark", "path.dot", "path.line", "path.way", "tr.chosen"]));
    assert_eq!((&seen["row"], &seen["left"]), (&"search/2".into(), &0.into()), "{seen}");
    assert!(seen["bar"].as_str().unwrap().starts_with("trial 2: "), "{seen}");
    assert_eq!(seen["links"], serde_json::json!(["objective", "row", "coordinates", "curve", "clear"]));
    assert!(["TR", "FIGURE"].contains(&seen["scrolled"].as_str().unwrap()), "{seen}");
}

#[test]
fn charts_zoom_by_a_drag_and_matrices_by_buttons() {
    let sandbox = reported();
    let act = "
        const svg = [...document.querySelectorAll('#curves svg')].find((svg) => svg.querySelector('g.plot'));
        const texts = () => [...svg.querySelectorAll('g.along text')].map((text) => text.textContent).join(' ');
        const box = svg.querySelector('path.frame').getBoundingClientRect();
        const whole = texts(), path = svg.querySelector('path.line'), d = path.getAttribute('d');
        const back = svg.closest('figure').querySelector('button.back');
        seen.hidden = back.hidden;
        drag(svg, [box.x + box.width * 0.1, box.y + box.height * 0.1], [box.x + box.width * 0.9, box.y + box.height * 0.4]);
        seen.zoomed = [texts() !== whole, path.getAttribute('d') !== d, back.hidden, svg.querySelector('g.plot').hasAttribute('clip-path')];
        back.click();
        seen.whole = [texts() === whole, path.getAttribute('d') === d, back.hidden];
        const larger = document.querySelector('.zoom button'), scroll = document.querySelector('.zoom').nextElementSibling;
        const width = () => scroll.querySelector('svg').getBoundingClientRect().width;
        const small = width();
        larger.click(); larger.click();
        seen.larger = Math.round(100 * width() / small) >= 200;
        larger.nextElementSibling.click(); larger.nextElementSibling.click();
        seen.again = width() === small;
        seen.sideways = document.documentElement.scrollWidth <= document.documentElement.clientWidth;";
    let Some(seen) = acted(&sandbox, "report.html", act) else { return skipped("there is no Chromium") };
    let expected = serde_json::json!({
        "hidden": true, "zoomed": [true, true, false, true], "whole": [true, true, true], "larger": true, "again": true, "sideways": true,
    });
    assert_eq!(seen, expected);
}

#[test]
fn two_studies_are_a_page() {
    let sandbox = Sandbox::after_run();
    sandbox.run("--set search.trials=5").ok();
    let before = sandbox.listing();
    let output = sandbox.pipe("diff tiny~1 tiny --html --output diff.html");
    assert_eq!((output.code, output.out.as_str()), (Some(1), "diff.html\n"), "{}", output.err);
    let page = fs::read_to_string(sandbox.path("diff.html")).unwrap();
    for part in ["search.trials", "A, 3 trials", "B, 5 trials", "by the exact test of McNemar", "minus that in B"] {
        assert!(page.contains(part), "no `{part}`");
    }
    assert_eq!(sandbox.pipe("diff tiny~1 tiny --html --output -").out, page);
    assert_eq!(sandbox.listing().len(), before.len() + 1, "only the page was written");
    // Without a place of its own it is in the store, as long as both studies are.
    let path = sandbox.pipe("diff tiny~1 tiny --html").out.replace("SANDBOX/", "");
    let place = format!(".pipe/reports/diff/{}-", &base().hash[..12]);
    assert!(path.contains(&place) && path.ends_with("/diff.html\n"), "{path}");
    assert_eq!(fs::read_to_string(sandbox.path(path.trim_end())).unwrap(), page);
    sandbox.pipe("gc --grace 0s").ok();
    assert!(sandbox.path(path.trim_end()).exists());
    sandbox.pipe("gc --grace 0s --keep-last 1").ok();
    assert!(!sandbox.path(path.trim_end()).exists(), "a study is forgotten");
    let same = sandbox.pipe("diff tiny tiny --html --output same.html").ok();
    assert_eq!(same.out, "same.html\n");
    assert!(fs::read_to_string(sandbox.path("same.html")).unwrap().contains("Nothing differs."));
    assert_eq!(sandbox.pipe("diff tiny tiny --output x.html").code, Some(2), "a page is asked for by --html");
}

#[test]
fn a_diff_names_the_files_that_changed_in_a_folder() {
    let sandbox = Sandbox::with(
        r#"Study(name: "folders", seed: 1, stages: [
            ("texts", Fetch(Folder("texts"))),
            ("copy", Command(run: ["sh", "copy.sh", "{in.texts}", "{out}"], inputs: {"texts": "texts/"}, files: ["copy.sh"], outputs: ["all/"])),
        ])"#,
    );
    fs::create_dir(sandbox.path("texts")).unwrap();
    sandbox.write("copy.sh", "mkdir -p \"$2/all/sub\" && cp \"$1\"/files/*.txt \"$2/all/sub\"\n");
    for name in ["a", "b", "c"] {
        sandbox.write(&format!("texts/{name}.txt"), name);
    }
    let run = || sandbox.output(sandbox.command("run").env("PATH", "/usr/bin:/bin")).ok();
    run();
    for name in ["b", "d", "e", "f"] {
        sandbox.write(&format!("texts/{name}.txt"), "new");
    }
    run();
    let diff = sandbox.pipe("diff folders~1 folders");
    for line in [
        "  texts.Folder: 3 files are new, 1 changed: b.txt, d.txt, e.txt ..\n",
        "  folder texts: 3 files are new, 1 changed: b.txt, d.txt, e.txt ..\n",
        "  folder copy/all: 3 files are new, 1 changed: sub/b.txt, sub/d.txt, sub/e.txt ..\n",
    ] {
        assert!(diff.out.contains(line), "no `{line}` in\n{}", diff.out);
    }
    assert!(!diff.out.contains("listing") && !diff.out.contains("  file "), "{}", diff.out);
    let json: Value = serde_json::from_str(&sandbox.pipe("diff folders~1 folders --json").out).unwrap();
    let folder = &json["question"]["causes"][0]["folders"]["texts.Folder.listing"];
    assert_eq!(
        *folder,
        serde_json::json!({ "new": 3, "changed": 1, "gone": 0, "examples": ["b.txt", "d.txt", "e.txt"] })
    );
    let files = json["answer"]["files"].as_array().unwrap();
    assert!(files.iter().any(|file| file["path"] == "listing.json" && file["folder"] == *folder), "{json}");
    assert!(files.iter().any(|file| file["path"] == "all/sub/f.txt"), "{json}");
}
