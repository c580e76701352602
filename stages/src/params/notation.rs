//! JSON values in the notation of `pipeline.ron`.

use serde_json::Value;

/// Returns a value in the notation of `pipeline.ron`: `Best("valid.loss")`, `[Last]`, `None`.
pub fn notation(value: &Value) -> String {
    let list = |items: &[Value]| items.iter().map(notation).collect::<Vec<_>>().join(", ");
    match value {
        Value::Null => "None".to_owned(),
        Value::Number(number) => match number.as_f64() {
            Some(x) if number.is_f64() => x.to_string(),
            _ => number.to_string(),
        },
        Value::String(name) if name.starts_with(char::is_uppercase) => name.clone(),
        Value::Array(items) => format!("[{}]", list(items)),
        Value::Object(fields) => match fields.iter().next() {
            Some((name, content)) if fields.len() == 1 => format!("{name}({})", notation(content)),
            _ => {
                let fields: Vec<_> =
                    fields.iter().map(|(name, value)| format!("{name}: {}", notation(value))).collect();
                format!("({})", fields.join(", "))
            }
        },
        value => value.to_string(),
    }
}
