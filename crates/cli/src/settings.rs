//! Options of long-running commands from a file: `--config FILE` of `candor worker` and `candor serve`.

use std::ffi::{OsStr, OsString};
use std::fs;

use anyhow::{Context, bail};
use toml::Value;

/// Commands that take a file.
const COMMANDS: [&str; 2] = ["serve", "worker"];

/// The command line with the settings of its `--config` file in front of its own options. What the command line or the environment says
/// stays; a setting is the long name of an option.
pub(crate) fn with_file(
    arguments: Vec<OsString>,
    command: &mut clap::Command,
) -> anyhow::Result<Vec<OsString>> {
    let Some(name) = arguments.get(1).and_then(|a| a.to_str()).filter(|a| COMMANDS.contains(a)) else {
        return Ok(arguments);
    };
    let Some(file) = value_of(&arguments, "--config") else { return Ok(arguments) };
    let shown = candor::path_text(file.as_ref());
    let text = fs::read_to_string(&file).with_context(|| format!("cannot read {shown}"))?;
    let table: toml::Table =
        toml::from_str(&text).with_context(|| format!("{shown} is no table of settings"))?;
    command.build();
    let Some(command) = command.find_subcommand(name) else { return Ok(arguments) };
    let mut added = Vec::new();
    for (key, value) in &table {
        let long = key.replace('_', "-");
        let taken = |a: &&clap::Arg| a.get_long() == Some(&long) && !matches!(&*long, "config" | "help");
        let Some(arg) = command.get_arguments().find(taken) else {
            let known: Vec<&str> = command.get_arguments().filter_map(clap::Arg::get_long).collect();
            bail!("{shown}: there is no setting \"{key}\"; there are {}", known.join(", "));
        };
        let option = format!("--{long}");
        let on_line =
            value_of(&arguments, &option).is_some() || arguments.iter().any(|a| a == OsStr::new(&option));
        if on_line || arg.get_env().is_some_and(|name| std::env::var_os(name).is_some()) {
            continue;
        }
        let values = match value {
            Value::Array(values) => values.as_slice(),
            one => std::slice::from_ref(one),
        };
        for value in values {
            match value {
                Value::Boolean(false) => {}
                Value::Boolean(true) => added.push(option.clone().into()),
                Value::String(text) => added.push(format!("{option}={text}").into()),
                Value::Integer(_) | Value::Float(_) => added.push(format!("{option}={value}").into()),
                _ => bail!("{shown}: {key} is neither text, number, true or false nor a list of these"),
            }
        }
    }
    let mut all = arguments;
    all.splice(2..2, added);
    Ok(all)
}

/// The value of an option, after it or behind an equals sign.
fn value_of(arguments: &[OsString], option: &str) -> Option<OsString> {
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == option {
            return rest.next().cloned();
        }
        let text = argument.to_string_lossy();
        if let Some(value) = text.strip_prefix(option).and_then(|rest| rest.strip_prefix('=')) {
            return Some(value.into());
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Args;

    fn expanded(text: &str, line: &[&str]) -> anyhow::Result<Vec<String>> {
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), text).unwrap();
        let mut arguments: Vec<OsString> = line.iter().map(Into::into).collect();
        arguments.push(format!("--config={}", file.path().display()).into());
        let all = with_file(arguments, &mut Args::command())?;
        Ok(all.into_iter().map(|a| a.to_string_lossy().into_owned()).collect())
    }

    #[test]
    fn settings_come_before_what_the_line_says() {
        let text = "nats = \"nats://a:1\"\nmax_deliver = 7\nallow = [\"s3://x/\", \"s3://y/\"]\nexit-when-empty = true\nno-declarations = false\n";
        let line = ["candor", "worker", "--max-deliver", "3"];
        let all = expanded(text, &line).unwrap();
        let mut added = all[2..all.len() - 3].to_vec();
        added.sort();
        assert_eq!(added, ["--allow=s3://x/", "--allow=s3://y/", "--exit-when-empty", "--nats=nats://a:1"]);
        assert_eq!(all[all.len() - 3..all.len() - 1], ["--max-deliver", "3"]);
    }

    #[test]
    fn mistakes_are_named_and_other_commands_left_alone() {
        let wrong = expanded("natz = 1\n", &["candor", "worker"]).unwrap_err().to_string();
        assert!(wrong.contains("natz") && wrong.contains("max-deliver"), "{wrong}");
        assert!(expanded("nats = {}\n", &["candor", "worker"]).is_err());
        assert!(expanded("nats\n", &["candor", "serve"]).is_err());
        assert_eq!(expanded("natz = 1\n", &["candor", "train"]).unwrap().len(), 3);
        assert!(with_file(vec!["candor".into(), "worker".into()], &mut Args::command()).unwrap().len() == 2);
    }
}
