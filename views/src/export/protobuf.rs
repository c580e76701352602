//! Writes protocol buffers: the few kinds of fields that TensorBoard's and ONNX's messages are made of. By hand, since a
//! library would bring a compiler of `.proto` files or a macro for what is a hundred lines here.

/// A message in the making: its fields in the order in which they were added.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Message(Vec<u8>);

/// How a field's value is laid out.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;

impl Message {
    /// Adds a whole number, a truth or a variant of an enum.
    pub(super) fn int(mut self, field: u64, value: i64) -> Self {
        self.key(field, VARINT);
        // Negative numbers take ten bytes, as the format has it.
        self.varint(value as u64);
        self
    }

    pub(super) fn double(mut self, field: u64, value: f64) -> Self {
        self.key(field, FIXED_64);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn float(mut self, field: u64, value: f32) -> Self {
        self.key(field, FIXED_32);
        self.0.extend(value.to_le_bytes());
        self
    }

    pub(super) fn bytes(mut self, field: u64, value: &[u8]) -> Self {
        self.key(field, LENGTH);
        self.varint(value.len() as u64);
        self.0.extend(value);
        self
    }

    pub(super) fn text(self, field: u64, value: &str) -> Self {
        self.bytes(field, value.as_bytes())
    }

    pub(super) fn message(self, field: u64, value: Self) -> Self {
        self.bytes(field, &value.0)
    }

    /// Adds a repeated field of messages.
    pub(super) fn messages(self, field: u64, values: impl IntoIterator<Item = Self>) -> Self {
        values.into_iter().fold(self, |message, value| message.message(field, value))
    }

    /// Adds a repeated field of texts.
    pub(super) fn texts<'a>(self, field: u64, values: impl IntoIterator<Item = &'a str>) -> Self {
        values.into_iter().fold(self, |message, value| message.text(field, value))
    }

    /// Adds a repeated field of numbers, packed.
    pub(super) fn doubles(self, field: u64, values: impl IntoIterator<Item = f64>) -> Self {
        self.bytes(field, &values.into_iter().flat_map(f64::to_le_bytes).collect::<Vec<_>>())
    }

    /// Adds a repeated field of whole numbers, packed.
    pub(super) fn ints(self, field: u64, values: impl IntoIterator<Item = i64>) -> Self {
        let mut packed = Self::default();
        values.into_iter().for_each(|value| packed.varint(value as u64));
        self.bytes(field, &packed.0)
    }

    /// Returns the message's bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn key(&mut self, field: u64, layout: u64) {
        self.varint(field << 3 | layout);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_laid_out_as_the_format_says() {
        // The examples of protobuf.dev/programming-guides/encoding: 150, "testing", a message within, packed numbers.
        assert_eq!(Message::default().int(1, 150).finish(), [0x08, 0x96, 0x01]);
        let text = Message::default().text(2, "testing").finish();
        assert_eq!(text, [&[0x12, 0x07][..], b"testing"].concat());
        let inner = Message::default().int(1, 150);
        assert_eq!(Message::default().message(3, inner).finish(), [0x1a, 0x03, 0x08, 0x96, 0x01]);
        assert_eq!(Message::default().ints(6, [3, 270, 86942]).finish(), [0x32, 0x06, 3, 0x8e, 2, 0x9e, 0xa7, 5]);
        assert_eq!(Message::default().int(1, -2).finish(), [[0x08, 0xfe].as_slice(), &[0xff; 8], &[1]].concat());
        assert_eq!(Message::default().float(1, 1.0).finish(), [0x0d, 0, 0, 0x80, 0x3f]);
        assert_eq!(Message::default().double(1, 1.0).finish(), [0x09, 0, 0, 0, 0, 0, 0, 0xf0, 0x3f]);
    }
}
