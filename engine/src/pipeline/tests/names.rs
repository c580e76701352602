//! Unknown names of stages, variants and devices.

use super::check;

#[test]
fn an_unknown_stage() {
    check(
        &[("Evaluate(", "Evalute(")],
        r#"
error: unknown stage `Evalute`
  --> pipeline.ron:11:14
   |
11 |     ("test", Evalute(of: "best", split: Test)),
   |              ^^^^^^^ expected <kinds of stages>
   |
   = help: did you mean `Evaluate`?
"#,
    );
}

#[test]
fn an_unknown_name() {
    check(
        &[("Cifar100", "Cifar1000"), ("RandomFlip", "RandomFlop"), ("Tpe(startup: 2)", "Gp")],
        r#"
error: unknown name `Cifar1000`
 --> pipeline.ron:3:42
  |
3 |     ("data", Decode(from: "raw", format: Cifar1000)),
  |                                          ^^^^^^^^^ expected `Cifar10`, `Cifar100`, `Idx`, `Folders`, `Labels` or `Names`
  |
  = help: did you mean `Cifar100`?

error: unknown name `RandomFlop`
 --> pipeline.ron:4:45
  |
4 |     ("flip", Augment(data: "data", policy: [RandomFlop(0.5)])),
  |                                             ^^^^^^^^^^ expected <augmentations>
  |
  = help: did you mean `RandomFlip`?

error: unknown name `Gp`
 --> pipeline.ron:6:37
  |
6 |         trials: 4, lag: 2, sampler: Gp, maximise: Best("valid.fine_accuracy"),
  |                                     ^^ expected <samplers>
"#,
    );
}

#[test]
fn an_unknown_device() {
    check(
        &[(r#"name: "tiny""#, r#"name: "tiny", device: Gpu"#)],
        r#"
error: unknown name `Gpu`
 --> pipeline.ron:1:29
  |
1 | Study(name: "tiny", device: Gpu, stages: [
  |                             ^^^ expected `Cpu`, `Cuda` or `Wgpu`
  |
  = help: did you mean `Cpu`?
"#,
    );
}

#[test]
fn an_unknown_model() {
    check(
        &[("HyperCnn(base_filters: 4)", "Resnet")],
        r#"
error: unknown name `Resnet`
 --> pipeline.ron:8:60
  |
8 |         trial: Train(data: "data", augment: "flip", model: Resnet, epochs: 2),
  |                                                            ^^^^^^ expected `HyperCnn`, `Mlp`, `Cnn`, `EthaNet` or `Layers`
  |
  = help: any other network is written out, `model: Layers([..])`; `init` starts from trained weights
"#,
    );
}

#[test]
fn a_stage_that_is_not_a_name() {
    check(
        &[(r#"Evaluate(of: "best", split: Test)"#, "7")],
        r#"
error: found a number
  --> pipeline.ron:11:14
   |
11 |     ("test", 7),
   |              ^ expected <kinds of stages>
"#,
    );
}
