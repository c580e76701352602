//! `Decode`: makes a data set from the files of a `Fetch`.

use std::sync::Arc;

use pipe_stages::{
    StageName,
    decode::{Decode, Folders, Format, Names, Table},
    params::Read,
};
use serde_json::{Value, json};

use super::fetch;
use crate::pipeline::{
    mistake::Mistake,
    reading::Reading,
    stage::{Expansion, Here, Reads, StageKind, StageSpec, with},
};

pub(super) const NAME: &str = "Decode";

pub(super) static KIND: StageKind = StageKind {
    name: NAME,
    reads: &[Reads { path: &["from"], kinds: &[fetch::NAME] }],
    may_name_test_split: false,
    nouns: &[(StageName::Decode, ["decoding", "decodings"])],
    read: |reading| Some(Arc::new(DecodeSpec::read(reading)?)),
    from_record: |mut fields| Ok(Arc::new(DecodeSpec { from: fields.take("from")?, decode: fields.rest()? })),
};

/// A data set made from the files of the stage `from`.
#[derive(Debug, Clone)]
struct DecodeSpec {
    from: String,
    decode: Decode,
}

impl DecodeSpec {
    fn read(reading: &mut Reading<'_, '_>) -> Option<Self> {
        let from = reading.reference("from");
        let fields = match reading.term.field("format").and_then(|format| format.value.name()) {
            Some("Folders") => Folders::fields(),
            Some("Labels") => Table::fields(),
            Some("Names") => Names::fields(),
            _ => &[],
        };
        reading.form.also_at(format!("{}.format", reading.path), fields.iter().copied());
        let decode: Decode = reading.rest()?;
        Some(Self { from: from?, decode })
    }
}

impl StageSpec for DecodeSpec {
    fn kind(&self) -> &'static StageKind {
        &KIND
    }

    fn reads(&self) -> Vec<&str> {
        vec![&self.from]
    }

    fn fields(&self) -> Value {
        with(&self.decode, [("from", json!(self.from))])
    }

    /// Complains about files that are not those of the format.
    fn check(&self, here: &Here<'_, '_>, mistakes: &mut Vec<Mistake>) {
        let Some(has) = here.stages.get(&self.from).and_then(StageSpec::files) else { return };
        let missing: Vec<_> = self.decode.slots().iter().filter(|slot| !has.contains(slot)).collect();
        // One file may be a container with the others in it.
        if has.len() > 1 && !missing.is_empty() {
            let list = missing.iter().map(|slot| format!("`{slot}`")).collect::<Vec<_>>().join(", ");
            let found = format!("the format reads {list}, which `{}` does not fetch", self.from);
            let mistake = Mistake::at(here.field("format"), found);
            mistakes.push(mistake.expected("files of these names, or one container with the four files"));
        }
    }

    fn expand(&self, name: &str, plan: &mut Expansion<'_>) -> usize {
        let source = plan.node_of(&self.from);
        let files = plan.stages.get(&self.from).and_then(StageSpec::files);
        let files = files.expect("kinds are checked when a pipeline is read");
        let inputs = files.iter().map(|file| (*file, source, *file));
        plan.add(name, name, self.decode.clone(), inputs, 0)
    }

    fn data_set(&self) -> Option<&Decode> {
        Some(&self.decode)
    }
}

/// Returns the names of the heads that images of a format have.
pub(super) fn heads(format: &Format) -> &'static [&'static str] {
    match format {
        Format::Cifar100 => &["fine", "coarse"],
        Format::Cifar10 | Format::Idx | Format::Folders(_) | Format::Labels(_) | Format::Names(_) => &["class"],
    }
}
