//! Tests of what an evaluation says, on made-up predictions.

use pipe_stages::{
    params::Float,
    records::{ClassFigures, HeadEvaluation, TopAccuracies},
};

use super::*;
use crate::testing::Builder;

fn said(label: i32, prediction: usize, probability: f32) -> HeadPrediction {
    HeadPrediction { label, prediction, probability }
}

fn head(name: &str, classes: usize, said: Vec<HeadPrediction>) -> Head {
    let figures = HeadEvaluation {
        loss: Float(1.0),
        accuracy: 0.0,
        correct: 0,
        interval_95: [0.0, 1.0],
        chance: 1.0 / classes as f64,
        balanced_accuracy: None,
        macro_f1: None,
        classes: (0..classes).map(|i| ClassFigures { name: format!("c{i}"), n: 0, accuracy: None }).collect(),
        top: TopAccuracies::default(),
    };
    Head {
        name: name.to_owned(),
        classes: figures.classes.iter().map(|class| class.name.clone()).collect(),
        confusion: Confusion::new(classes, &said).unwrap(),
        reliability: Reliability::new(&said),
        figures,
        said,
    }
}

#[test]
fn precision_recall_and_f1_are_those_of_the_definition() {
    let predictions = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (1, 0), (1, 0), (2, 1)];
    let confusion = Confusion::new(4, &predictions.map(|(label, of)| said(label, of, 0.5))).unwrap();
    assert_eq!((confusion.precision(0), confusion.recall(0)), (Some(2.0 / 5.0), Some(2.0 / 3.0)));
    let harmonic = |p: f64, r: f64| 2.0 * p * r / (p + r);
    assert!((confusion.f1(0).unwrap() - harmonic(2.0 / 5.0, 2.0 / 3.0)).abs() < 1e-12);
    // Class 2 is never said, and class 3 does not occur.
    assert_eq!((confusion.precision(2), confusion.recall(2), confusion.f1(2)), (None, Some(0.0), Some(0.0)));
    assert_eq!((confusion.precision(3), confusion.recall(3), confusion.f1(3)), (None, None, None));
    assert_eq!((confusion.support(1), confusion.predicted(1), confusion.share(1, 0)), (4, 3, 0.75));
    let pairs: Vec<_> = confusion.pairs().iter().map(|p| (p.one, p.other, p.one_as_other, p.other_as_one)).collect();
    assert_eq!(pairs, [(1, 0, 3, 1), (2, 1, 1, 0)]);
    assert_eq!(confusion.most_confused(2), [0, 1]);
    assert_eq!(confusion.ordered(&[0, 1, 2, 3]), [0, 1, 2, 3]);
    assert_eq!(confusion.ordered(&[0, 2, 3]), [0, 2, 3]);
    assert!(Confusion::new(2, &[said(0, 2, 0.5)]).is_none() && Confusion::new(2, &[said(-1, 0, 0.5)]).is_none());
}

#[test]
fn the_calibration_error_is_that_of_the_paper() {
    // Two bins: (1/15, 2/15] has 0.1 and 0.13, and the last has 0.95, 0.97 and 1.
    let predictions =
        [said(0, 0, 0.1), said(0, 1, 0.13), said(0, 0, 0.95), said(0, 0, 0.97), said(0, 1, 1.0), said(1, 1, 1.0)];
    let reliability = Reliability::new(&predictions);
    let counts: Vec<_> = reliability.bins.iter().map(|bin| (bin.images, bin.right)).collect();
    assert_eq!((counts[1], counts[14], reliability.images()), ((2, 1), (4, 3), 6));
    let gap_1 = (0.5 - (0.1 + 0.13) / 2.0_f64).abs();
    let gap_14 = (0.75 - (0.95 + 0.97 + 1.0 + 1.0) / 4.0_f64).abs();
    assert!((reliability.error().unwrap() - (2.0 * gap_1 + 4.0 * gap_14) / 6.0).abs() < 1e-7);
    let confidence = (0.1 + 0.13 + 0.95 + 0.97 + 2.0) / 6.0;
    assert!((reliability.overconfidence().unwrap() - (confidence - 4.0 / 6.0)).abs() < 1e-7);
    assert_eq!((Reliability::new(&[]).error(), Reliability::new(&[said(0, 0, 0.0)]).bins[0].images), (None, 1));
}

#[test]
fn the_worst_and_the_least_sure_images_are_found() {
    let predictions =
        vec![said(0, 0, 0.9), said(0, 1, 0.8), said(0, 1, 0.95), said(1, 1, 0.3), said(1, 0, 0.8), said(0, 0, 0.5)];
    let head = head("fine", 2, predictions);
    assert_eq!(worst(&head, 2), [2, 1]);
    assert_eq!(worst(&head, 9), [2, 1, 4]);
    assert_eq!(least_sure(&head, 2), [3, 5]);
    // The surest right one, the surest wrong one, and the least sure of the others.
    assert_eq!(of_class(&head, 0), [0, 2, 5]);
    assert_eq!(of_class(&head, 1), [3, 4]);
}

#[test]
fn heads_agree_if_the_fine_class_lies_within_the_coarse_one() {
    // Fine classes 0 and 1 lie within 0, class 2 within 1, and class 3 has no image.
    let fine = [(0, 0), (0, 1), (1, 2), (2, 2), (2, 3), (1, 1)].map(|(label, of)| said(label, of, 0.5)).to_vec();
    let coarse = [(0, 0), (0, 0), (0, 0), (1, 0), (1, 1), (0, 1)].map(|(label, of)| said(label, of, 0.5)).to_vec();
    let found = Agreement::among(&[head("fine", 4, fine.clone()), head("coarse", 2, coarse.clone())]);
    let expected = Agreement {
        fine: "fine".into(),
        coarse: "coarse".into(),
        images: 5,
        within: 2,
        both_right: 1,
        only_fine_right: 2,
        only_coarse_right: 3,
        both_wrong: 0,
        near: 1,
    };
    assert_eq!(found, [expected]);
    // Classes that are not divided into finer ones have no agreement.
    let other = [0, 1, 0, 1, 0, 1].map(|label| said(label, 0, 0.5)).to_vec();
    assert!(Agreement::among(&[head("fine", 4, fine), head("other", 2, other)]).is_empty());
}

#[test]
fn the_predictions_of_a_node_are_read_with_the_names_of_its_classes_and_its_images() {
    let (store, study) = Builder::whole(4).done();
    let node = &study.nodes["test"];
    let judged = Judged::of_node(&store, "test", node).unwrap().unwrap();
    let heads: Vec<_> =
        judged.heads.iter().map(|head| (head.name.as_str(), head.classes.len(), head.said.len())).collect();
    assert_eq!(heads, [("fine", 100, 20), ("coarse", 20, 20)]);
    assert_eq!(judged.agreements.len(), 1);
    let images = Thumbnails::of_node(&store, "test", node).unwrap().unwrap();
    let picture = images.get(19).unwrap();
    assert_eq!((picture.width, picture.height, &picture.png[1..4]), (32, 32, b"PNG".as_slice()));
    assert!(images.get(20).is_none());
}
