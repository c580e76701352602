pub const GENERATOR: &str = "pipe report 1";
pub fn html(_: &pipe_store::Store, _: &crate::study::Found) -> Result<String, crate::view::ViewError> { Ok(GENERATOR.to_owned()) }
