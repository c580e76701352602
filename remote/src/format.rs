//! The file `format` of a remote, which says that the place is one.

use crate::{
    bucket::{Bucket, Created},
    error::{RemoteError, Result},
    layout,
};

/// What the file `format` of a remote holds.
const FORMAT: &[u8] = b"{\"format\":1}\n";

/// Checks that a place is a remote of a format that this build knows. If it is none yet and `make` says so, makes it one.
pub(crate) async fn check_format(bucket: &Bucket, make: bool) -> Result<()> {
    let found = match bucket.get(layout::FORMAT, 4 << 10).await? {
        None if make => match bucket.create(layout::FORMAT, FORMAT).await? {
            Created::New => return Ok(()),
            Created::Stands(found) => found,
        },
        None => return Ok(()),
        Some(found) => found,
    };
    if found == FORMAT {
        return Ok(());
    }
    let reason = "its file `format` is not that of this build's remotes; a newer `pipe` may have written it".to_owned();
    Err(RemoteError::Foreign { remote: bucket.name.clone(), reason })
}
