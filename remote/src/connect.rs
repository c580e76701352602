//! Opens the place of a remote.

use std::sync::Arc;

use object_store::{ObjectStore, local::LocalFileSystem};

use crate::{
    error::{RemoteError, Result},
    place::Place,
};

/// How long a server is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As long as it takes to send large files, and to try again.
    Transfer,
    /// A few seconds: whoever asks goes on without an answer.
    Ask,
}

/// Opens a place.
pub(crate) fn open(name: &str, place: &Place, patience: Patience) -> Result<Arc<dyn ObjectStore>> {
    match place {
        Place::Folder(path) => {
            if !path.is_dir() {
                let reason = format!("there is no folder `{}`; perhaps it is not mounted", path.display());
                return Err(RemoteError::Foreign { remote: name.to_owned(), reason });
            }
            let failed = |error: object_store::Error| RemoteError::Foreign {
                remote: name.to_owned(),
                reason: format!("the folder `{}` cannot be opened: {error}", path.display()),
            };
            Ok(Arc::new(LocalFileSystem::new_with_prefix(path).map_err(failed)?.with_fsync(true)))
        }
        other => cloud::open(name, other, patience),
    }
}

#[cfg(not(feature = "cloud"))]
mod cloud {
    use std::sync::Arc;

    use object_store::ObjectStore;

    use super::Patience;
    use crate::{
        error::{RemoteError, Result},
        place::Place,
    };

    pub(super) fn open(_: &str, place: &Place, _: Patience) -> Result<Arc<dyn ObjectStore>> {
        let reason = "this build knows folders only (cargo feature `remote`)".to_owned();
        Err(RemoteError::Url { url: place.to_string(), reason })
    }
}

#[cfg(feature = "cloud")]
mod cloud {
    use std::{sync::Arc, time::Duration};

    use object_store::{
        BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
        aws::{AmazonS3Builder, AmazonS3ConfigKey, S3ConditionalPut},
        azure::{AzureConfigKey, MicrosoftAzureBuilder},
        gcp::GoogleCloudStorageBuilder,
        http::HttpBuilder,
        path::Path,
        prefix::PrefixStore,
    };

    use super::Patience;
    use crate::{
        error::{RemoteError, Result},
        place::{Cloud, Place},
        profile::{self, Profile},
    };

    pub(super) fn open(name: &str, place: &Place, patience: Patience) -> Result<Arc<dyn ObjectStore>> {
        // The default provider of cryptography would be another one. If there is one already, it stays.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let failed = |error: object_store::Error| RemoteError::Credentials {
            message: format!("the remote `{name}` cannot be opened: {error}"),
            hint: hint(place).to_owned(),
        };
        match place {
            Place::Bucket { cloud, bucket, prefix } => {
                let prefix = Path::from(prefix.as_str());
                Ok(match cloud {
                    Cloud::S3 => within(s3(bucket, patience)?.build().map_err(failed)?, prefix),
                    Cloud::Google => {
                        let builder = GoogleCloudStorageBuilder::from_env().with_bucket_name(bucket);
                        let builder = builder.with_retry(retry(patience)).with_client_options(client(patience));
                        within(builder.build().map_err(failed)?, prefix)
                    }
                    Cloud::Azure => within(azure(bucket, patience).build().map_err(failed)?, prefix),
                })
            }
            Place::Web(url) => {
                let builder = HttpBuilder::new().with_url(url.as_str()).with_retry(retry(patience));
                let options = client(patience).with_allow_http(true);
                Ok(Arc::new(builder.with_client_options(options).build().map_err(failed)?))
            }
            Place::Folder(_) => unreachable!("a folder is opened above"),
        }
    }

    fn within(store: impl ObjectStore, prefix: Path) -> Arc<dyn ObjectStore> {
        if prefix.as_ref().is_empty() { Arc::new(store) } else { Arc::new(PrefixStore::new(store, prefix)) }
    }

    /// Returns S3 as the environment and the profile describe it.
    fn s3(bucket: &str, patience: Patience) -> Result<AmazonS3Builder> {
        let env = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let mut builder = AmazonS3Builder::from_env().with_bucket_name(bucket);
        let Profile { access_key, secret_key, token, region, endpoint } = profile::of(&env)?;
        if let (Some(access_key), Some(secret_key)) = (access_key, secret_key) {
            builder = builder.with_access_key_id(access_key).with_secret_access_key(secret_key);
            builder = token.into_iter().fold(builder, |builder, token| builder.with_token(token));
        }
        let endpoint = env("AWS_ENDPOINT_URL_S3").or_else(|| env("AWS_ENDPOINT_URL")).or(endpoint);
        let is_plain = endpoint.as_ref().is_some_and(|endpoint| endpoint.starts_with("http://"));
        if let Some(endpoint) = endpoint {
            builder = builder.with_endpoint(endpoint);
        }
        if builder.get_config_value(&AmazonS3ConfigKey::Region).is_none() {
            let region = env("AWS_DEFAULT_REGION").or(region).unwrap_or_else(|| "us-east-1".to_owned());
            builder = builder.with_region(region);
        }
        let options = client(patience).with_allow_http(is_plain);
        builder = builder.with_conditional_put(S3ConditionalPut::ETagMatch);
        Ok(builder.with_retry(retry(patience)).with_client_options(options))
    }

    fn azure(container: &str, patience: Patience) -> MicrosoftAzureBuilder {
        let builder = MicrosoftAzureBuilder::from_env().with_container_name(container);
        let endpoint = builder.get_config_value(&AzureConfigKey::Endpoint);
        let is_plain = endpoint.is_some_and(|endpoint| endpoint.starts_with("http://"));
        let options = client(patience).with_allow_http(is_plain);
        builder.with_retry(retry(patience)).with_client_options(options)
    }

    fn hint(place: &Place) -> &'static str {
        match place {
            Place::Bucket { cloud: Cloud::S3, .. } => "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE",
            Place::Bucket { cloud: Cloud::Google, .. } => "set GOOGLE_APPLICATION_CREDENTIALS",
            Place::Bucket { cloud: Cloud::Azure, .. } => {
                "set AZURE_STORAGE_ACCOUNT_NAME, and AZURE_STORAGE_ACCOUNT_KEY or another credential"
            }
            Place::Folder(_) | Place::Web(_) => "see docs/remote.md",
        }
    }

    fn retry(patience: Patience) -> RetryConfig {
        let (max_retries, seconds) = match patience {
            Patience::Transfer => (5, 60),
            Patience::Ask => (0, 4),
        };
        let backoff =
            BackoffConfig { init_backoff: Duration::from_millis(100), max_backoff: Duration::from_secs(5), base: 2.0 };
        RetryConfig { backoff, max_retries, retry_timeout: Duration::from_secs(seconds) }
    }

    fn client(patience: Patience) -> ClientOptions {
        let (connect, pause) = match patience {
            Patience::Transfer => (5, 30),
            Patience::Ask => (3, 4),
        };
        // No limit for a whole request, which may be a large file on a slow line, but for a pause in it.
        let options = ClientOptions::new().with_timeout_disabled().with_connect_timeout(Duration::from_secs(connect));
        options.with_read_timeout(Duration::from_secs(pause))
    }
}
