//! An event file and its values.

use pipe_stages::network::training::Histogram;
use prost::Message;

use super::{
    proto::{
        Event, GraphDef, HParams, HParamsPluginData, HistogramProto, Image, PluginData, Shown, Summary,
        SummaryMetadata, SummaryValue, What,
    },
    records,
};
use crate::show::png_size;

/// The event file of one run.
pub(super) struct Events {
    file: Vec<u8>,
}

impl Events {
    /// Returns a file with the first event, which names the version of the format. `time` is in seconds since 1970.
    pub(super) fn new(time: f64) -> Self {
        let mut events = Self { file: Vec::new() };
        events.add(time, 0, What::FileVersion("brain.Event:2".to_owned()));
        events
    }

    /// Adds the values of one step.
    pub(super) fn values(&mut self, time: f64, step: i64, values: impl IntoIterator<Item = SummaryValue>) {
        self.add(time, step, What::Summary(Summary { value: values.into_iter().collect() }));
    }

    /// Adds the run's graph.
    pub(super) fn graph(&mut self, time: f64, graph: &GraphDef) {
        self.add(time, 0, What::GraphDef(graph.encode_to_vec()));
    }

    /// Returns the file's bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.file
    }

    fn add(&mut self, wall_time: f64, step: i64, what: What) {
        records::append(&mut self.file, &Event { wall_time, step, what: Some(what) }.encode_to_vec());
    }
}

/// Returns a value that is a number.
pub(super) fn scalar(tag: &str, value: f64) -> SummaryValue {
    shown(tag, Shown::Simple(value as f32))
}

/// Returns a value that is a picture, or None if the bytes are not a PNG.
pub(super) fn image(tag: &str, png: &[u8]) -> Option<SummaryValue> {
    const RGB: i32 = 3;
    let (width, height) = png_size(png)?;
    let [width, height] = [i32::try_from(width).ok()?, i32::try_from(height).ok()?];
    Some(shown(tag, Shown::Image(Image { height, width, colorspace: RGB, encoded_image_string: png.to_vec() })))
}

/// Returns a value that is a histogram.
pub(super) fn histogram(tag: &str, of: &Histogram) -> SummaryValue {
    let bucket: Vec<f64> = of.counts.iter().map(|count| f64::from(*count)).collect();
    let num = bucket.iter().sum::<f64>();
    let (min, max) = (f64::from(of.min), f64::from(of.max));
    let bins = bucket.len() as f64;
    let histogram = HistogramProto {
        min,
        max,
        num,
        sum: num * f64::from(of.mean),
        sum_squares: num * f64::from(of.mean_square),
        bucket_limit: (1..=bucket.len()).map(|i| min + (max - min) * i as f64 / bins).collect(),
        bucket,
    };
    shown(tag, Shown::Histogram(histogram))
}

/// Returns a value with only metadata, for the HParams plugin.
pub(super) fn hparams(tag: &str, data: HParams) -> SummaryValue {
    let content = HParamsPluginData { data: Some(data) }.encode_to_vec();
    let plugin_data = PluginData { plugin_name: "hparams".to_owned(), content };
    SummaryValue {
        tag: tag.to_owned(),
        value: None,
        metadata: Some(SummaryMetadata { plugin_data: Some(plugin_data) }),
    }
}

fn shown(tag: &str, value: Shown) -> SummaryValue {
    SummaryValue { tag: tag.to_owned(), value: Some(value), metadata: None }
}
