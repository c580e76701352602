//! Signatures of results and studies. No hash can tell whether an action gave a tree: whoever signs says that it did.

use pipe_store::{ActionKey, ActionResult, Digest};

use crate::{
    bucket::Bucket,
    error::{RemoteError, Result},
    keys::{SecretKey, Signer},
    layout,
};

/// What is signed of a result.
fn of_result(key: &ActionKey, result: &ActionResult) -> Vec<u8> {
    [b"pipe result 1\n".to_vec(), result.record(key)].concat()
}

/// What is signed of a study. Its hash stands for all of its results.
fn of_study(study: &Digest) -> Vec<u8> {
    format!("pipe study 1\n{study}\n").into_bytes()
}

/// Returns whether a study has been signed with this key.
pub(crate) async fn is_signed(bucket: &Bucket, study: &Digest, signer: Signer) -> Result<bool> {
    let signature = bucket.get(&layout::signature_of_study(study, &signer.0), 1 << 10).await?;
    Ok(signature.is_some_and(|signature| signer.has_signed(&of_study(study), &signature)))
}

/// Returns who of those whom this project trusts has signed a study. `Ok(None)` if nobody needs to have.
///
/// # Errors
/// [`RemoteError::Unsigned`] if nobody has.
pub(crate) async fn check_study(bucket: &Bucket, study: &Digest) -> Result<Option<Signer>> {
    for signer in &bucket.trusted {
        if is_signed(bucket, study, *signer).await? {
            return Ok(Some(*signer));
        }
    }
    match bucket.trusted.is_empty() {
        true => Ok(None),
        false => Err(RemoteError::Unsigned { remote: bucket.name.clone(), study: *study }),
    }
}

/// Returns whether a result may be used: someone whom this project trusts has signed it, or nobody needs to have.
pub(crate) async fn may_use(bucket: &Bucket, key: &ActionKey, result: &ActionResult) -> Result<bool> {
    for signer in &bucket.trusted {
        let signature = bucket.get(&layout::signature_of_result(key, &signer.0), 1 << 10).await?;
        if signature.is_some_and(|signature| signer.has_signed(&of_result(key, result), &signature)) {
            return Ok(true);
        }
    }
    Ok(bucket.trusted.is_empty())
}

/// Signs a result.
pub(crate) async fn sign_result(
    bucket: &Bucket,
    secret: &SecretKey,
    key: &ActionKey,
    result: &ActionResult,
) -> Result<()> {
    let path = layout::signature_of_result(key, &secret.signer().0);
    bucket.put(&path, secret.sign(&of_result(key, result))).await
}

/// Signs a study.
pub(crate) async fn sign_study(bucket: &Bucket, secret: &SecretKey, study: &Digest) -> Result<()> {
    bucket.put(&layout::signature_of_study(study, &secret.signer().0), secret.sign(&of_study(study))).await
}
