//! Evaluation
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Split { Test, Validation }
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Evaluate { pub split: Split }
impl crate::stage::Stage for Evaluate {
    fn id(&self) -> crate::stage::StageId { crate::stage::StageId{name:"evaluate",version:1} }
    fn run(&self, _: &crate::stage::Inputs<'_>, _: &crate::stage::Context<'_>) -> Result<crate::stage::Outputs, crate::stage::StageError> { Ok(Default::default()) }
}
