//! The profiles of AWS: the files `~/.aws/credentials` and `~/.aws/config`, as far as they have keys in them.

use std::{collections::BTreeMap, path::PathBuf};

use crate::error::{RemoteError, Result};

/// What a profile says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Profile {
    pub(crate) access_key: Option<String>,
    pub(crate) secret_key: Option<String>,
    pub(crate) token: Option<String>,
    pub(crate) region: Option<String>,
    pub(crate) endpoint: Option<String>,
}

/// An environment variable's value.
pub(crate) type Env<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Settings of a profile that get credentials in ways that `object_store` does not know.
const ELSEWHERE: [&str; 7] = [
    "credential_process",
    "role_arn",
    "source_profile",
    "sso_account_id",
    "sso_session",
    "sso_start_url",
    "login_session",
];

/// Variables with which the environment itself has credentials. They go before a profile.
const IN_ENVIRONMENT: [&str; 4] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
];

/// Returns the profile that `AWS_PROFILE` names, or `default`. Its keys are left out if the environment has credentials.
///
/// # Errors
/// [`RemoteError::Credentials`] if there is no such profile, or if it gets its credentials in another way.
pub(crate) fn of(env: Env<'_>) -> Result<Profile> {
    let named = env("AWS_PROFILE").or_else(|| env("AWS_DEFAULT_PROFILE"));
    let name = named.as_deref().unwrap_or("default");
    let home = env("HOME").map(PathBuf::from);
    let file = |variable, default: &str| {
        env(variable).map(PathBuf::from).or_else(|| home.as_ref().map(|home| home.join(".aws").join(default)))
    };
    let read = |path: Option<PathBuf>| path.and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    let credentials = read(file("AWS_SHARED_CREDENTIALS_FILE", "credentials"));
    let config = read(file("AWS_CONFIG_FILE", "config"));
    let has_own = IN_ENVIRONMENT.iter().any(|variable| env(variable).is_some());
    let refused = |message: String, hint: String| RemoteError::Credentials { message, hint };
    let section = if name == "default" { name.to_owned() } else { format!("profile {name}") };
    let (keys, settings) = (section_of(&credentials, name), section_of(&config, &section));
    if keys.is_none() && settings.is_none() {
        // Without a name, no profile is as good as an empty one.
        return if named.is_none() || has_own {
            Ok(Profile::default())
        } else {
            let message = format!("AWS_PROFILE names the profile `{name}`, which is in neither file of profiles");
            Err(refused(message, "`aws configure list-profiles` lists them".to_owned()))
        };
    }
    let mut all = settings.unwrap_or_default();
    all.extend(keys.unwrap_or_default());
    let mut take = |key: &str| all.remove(key).filter(|value| !value.is_empty());
    let mut profile = Profile {
        access_key: take("aws_access_key_id"),
        secret_key: take("aws_secret_access_key"),
        token: take("aws_session_token"),
        region: take("region"),
        endpoint: take("endpoint_url"),
    };
    if has_own {
        return Ok(Profile { access_key: None, secret_key: None, token: None, ..profile });
    }
    if profile.access_key.is_none() || profile.secret_key.is_none() {
        (profile.access_key, profile.secret_key, profile.token) = (None, None, None);
        if let Some(way) = ELSEWHERE.iter().find(|way| all.contains_key(**way)) {
            let message =
                format!("the profile `{name}` of AWS gets its credentials by `{way}`, which is not done here");
            let hint = format!("eval \"$(aws configure export-credentials --profile {name} --format env)\"");
            return Err(refused(message, hint));
        }
    }
    Ok(profile)
}

/// Returns the settings of a section. Later ones replace earlier ones. What belongs to a nested setting is left out.
fn section_of(text: &str, name: &str) -> Option<BTreeMap<String, String>> {
    let mut found: Option<BTreeMap<String, String>> = None;
    let mut is_inside = false;
    for line in text.lines() {
        let is_nested = line.starts_with([' ', '\t']);
        // A `#` after a blank begins a comment. In a value alone it may be part of a key.
        let line = line.split(" #").next().unwrap_or_default().split(" ;").next().unwrap_or_default().trim();
        if line.is_empty() || line.starts_with(['#', ';']) {
            continue;
        }
        if let Some(header) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            let words: Vec<_> = header.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
            is_inside = words.join(" ") == name || (name == "default" && words == ["profile", "default"]);
            if is_inside {
                found.get_or_insert_default();
            }
        } else if is_inside
            && !is_nested
            && let Some((key, value)) = line.split_once('=')
        {
            found.get_or_insert_default().insert(key.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const CREDENTIALS: &str = "\
# of the lab
[default]
aws_access_key_id = A1
aws_secret_access_key=S1#x
[lab]
aws_access_key_id=A2
aws_secret_access_key = S2 # not part of it
aws_session_token = T2
[half]
aws_access_key_id = A3
";
    const CONFIG: &str = "\
[default]
region = eu-north-1
s3 =
  addressing_style = path
  region = nested
[profile lab]
region=eu-west-1
endpoint_url = http://127.0.0.1:8333
[profile \"my sso\"]
sso_session = corp
[profile half]
role_arn = arn:aws:iam::1:role/x
[sso-session corp]
region = other
";

    fn profile(vars: &[(&str, &str)]) -> Result<Profile> {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.display().to_string()
        };
        let files = [
            ("AWS_SHARED_CREDENTIALS_FILE", path("credentials", CREDENTIALS)),
            ("AWS_CONFIG_FILE", path("config", CONFIG)),
        ];
        let mut vars: BTreeMap<_, _> = vars.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        for (name, path) in files {
            vars.entry(name).or_insert(path);
        }
        of(&|name| vars.get(name).cloned())
    }

    fn text(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn keys_and_settings_of_a_profile_are_found() {
        let default = profile(&[]).unwrap();
        let expected = Profile {
            access_key: text("A1"),
            secret_key: text("S1#x"),
            region: text("eu-north-1"),
            ..Profile::default()
        };
        assert_eq!(default, expected);
        let lab = profile(&[("AWS_PROFILE", "lab")]).unwrap();
        let expected = Profile {
            access_key: text("A2"),
            secret_key: text("S2"),
            token: text("T2"),
            region: text("eu-west-1"),
            endpoint: text("http://127.0.0.1:8333"),
        };
        assert_eq!(lab, expected);
    }

    #[test]
    fn credentials_of_the_environment_go_before_those_of_a_profile() {
        for variable in IN_ENVIRONMENT {
            let lab = profile(&[("AWS_PROFILE", "lab"), (variable, "x")]).unwrap();
            assert_eq!((lab.access_key, lab.secret_key, lab.token), (None, None, None), "{variable}");
            assert_eq!(lab.region, text("eu-west-1"));
        }
        assert_eq!(profile(&[("AWS_PROFILE", "gone"), ("AWS_ACCESS_KEY_ID", "x")]).unwrap(), Profile::default());
    }

    #[test]
    fn what_a_profile_cannot_give_is_said_with_what_to_do() {
        let error = profile(&[("AWS_PROFILE", "gone")]).unwrap_err().to_string();
        assert!(error.contains("the profile `gone`"), "{error}");
        for (name, way) in [("my sso", "sso_session"), ("half", "role_arn")] {
            let Err(RemoteError::Credentials { message, hint }) = profile(&[("AWS_PROFILE", name)]) else {
                panic!("it is refused")
            };
            assert!(message.contains(way) && hint.contains("export-credentials"), "{message} {hint}");
        }
        let nowhere = [("AWS_SHARED_CREDENTIALS_FILE", "/nowhere"), ("AWS_CONFIG_FILE", "/nowhere")];
        assert_eq!(profile(&nowhere).unwrap(), Profile::default());
    }
}
