//! Events and what they hold, as messages of `tensorboard/compat/proto` (field numbers beside their names).

use pipe_stages::network::training::Histogram;

use super::records;
use crate::{export::protobuf::Message, show::png_size};

/// The event file of one run.
pub(super) struct Events {
    file: Vec<u8>,
}

impl Events {
    /// Returns a file whose first event says what the others are, at `time` (seconds since 1970).
    pub(super) fn new(time: f64) -> Self {
        let mut events = Self { file: Vec::new() };
        let version = Message::default().double(WALL_TIME, time).text(FILE_VERSION, "brain.Event:2");
        records::append(&mut events.file, &version.finish());
        events
    }

    /// Adds values of one step.
    pub(super) fn values(&mut self, time: f64, step: i64, values: impl IntoIterator<Item = Message>) {
        let summary = Message::default().messages(1, values); // Summary.value
        let event = Message::default().double(WALL_TIME, time).int(STEP, step).message(SUMMARY, summary);
        records::append(&mut self.file, &event.finish());
    }

    /// Adds the run's graph.
    pub(super) fn graph(&mut self, time: f64, graph: Message) {
        let event = Message::default().double(WALL_TIME, time).message(GRAPH_DEF, graph);
        records::append(&mut self.file, &event.finish());
    }

    /// Returns the file's bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.file
    }
}

// Fields of `Event`.
const WALL_TIME: u64 = 1;
const STEP: u64 = 2;
const FILE_VERSION: u64 = 3;
const GRAPH_DEF: u64 = 4;
const SUMMARY: u64 = 5;

// Fields of `Summary.Value`.
const TAG: u64 = 1;
const SIMPLE_VALUE: u64 = 2;
const IMAGE: u64 = 4;
const HISTO: u64 = 5;
const METADATA: u64 = 9;

/// Returns a number.
pub(super) fn scalar(tag: &str, value: f64) -> Message {
    Message::default().text(TAG, tag).float(SIMPLE_VALUE, value as f32)
}

/// Returns a picture; nothing for what is no PNG.
pub(super) fn image(tag: &str, png: &[u8]) -> Option<Message> {
    let (width, height) = png_size(png)?;
    // height, width, colorspace (RGB), encoded_image_string
    let image = Message::default().int(1, height.into()).int(2, width.into()).int(3, 3).bytes(4, png);
    Some(Message::default().text(TAG, tag).message(IMAGE, image))
}

/// Returns a histogram.
pub(super) fn histogram(tag: &str, of: &Histogram) -> Message {
    let n = of.counts.iter().map(|count| f64::from(*count)).sum::<f64>();
    let (low, high) = (f64::from(of.min), f64::from(of.max));
    let bins = of.counts.len() as f64;
    let limits = (1..=of.counts.len()).map(|i| low + (high - low) * i as f64 / bins);
    // min, max, num, sum, sum_squares, bucket_limit, bucket
    let histogram = Message::default()
        .double(1, low)
        .double(2, high)
        .double(3, n)
        .double(4, n * f64::from(of.mean))
        .double(5, n * f64::from(of.mean_square))
        .doubles(6, limits)
        .doubles(7, of.counts.iter().map(|count| f64::from(*count)));
    Message::default().text(TAG, tag).message(HISTO, histogram)
}

/// Returns a value that is all metadata for one of TensorBoard's plugins.
pub(super) fn plugin(tag: &str, name: &str, content: Message) -> Message {
    // SummaryMetadata.plugin_data: plugin_name, content
    let data = Message::default().text(1, name).message(2, content);
    Message::default().text(TAG, tag).message(METADATA, Message::default().message(1, data))
}
