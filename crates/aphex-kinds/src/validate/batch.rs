//! Jobs and cron jobs.

use aphex_schema::{FieldError, Path};
use serde_json::Value;

use super::pod;
use super::rules::Rule::{NonNegative, OneOf, Required};
use super::rules::{Table, check};
use crate::fields::{at, text};

const JOB: Table = &[
    ("parallelism", NonNegative),
    ("completions", NonNegative),
    ("activeDeadlineSeconds", NonNegative),
    ("backoffLimit", NonNegative),
    ("ttlSecondsAfterFinished", NonNegative),
    ("completionMode", OneOf(&["NonIndexed", "Indexed"])),
    ("podReplacementPolicy", OneOf(&["Failed", "TerminatingOrFailed"])),
];

const CRON_JOB: Table = &[
    ("schedule", Required),
    ("startingDeadlineSeconds", NonNegative),
    ("concurrencyPolicy", OneOf(&["Allow", "Forbid", "Replace"])),
    ("successfulJobsHistoryLimit", NonNegative),
    ("failedJobsHistoryLimit", NonNegative),
];

pub(super) fn job(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    check(spec, path, JOB, errors);
    let template = path.child("template").child("spec");
    pod::spec(at(spec, "template.spec"), &template, errors);
    if text(spec, "template.spec.restartPolicy") == "Always" {
        let why = "valid values: \"OnFailure\", \"Never\"";
        errors.push(FieldError::required(&template.child("restartPolicy"), why));
    }
}

pub(super) fn cron_job(spec: &Value, path: &Path, errors: &mut Vec<FieldError>) {
    check(spec, path, CRON_JOB, errors);
    let schedule = text(spec, "schedule");
    let fields: Vec<&str> = schedule.split_whitespace().collect();
    if !schedule.is_empty() && !schedule.starts_with('@') && fields.len() != 5 {
        let why = format!("expected exactly 5 fields, found {}: [{}]", fields.len(), fields.join(" "));
        errors.push(FieldError::invalid(&path.child("schedule"), schedule, why));
    }
    if let Some(zone) = at(spec, "timeZone").as_str()
        && jiff::tz::TimeZone::get(zone).is_err()
    {
        errors.push(FieldError::invalid(&path.child("timeZone"), zone, format!("unknown time zone {zone}")));
    }
    job(at(spec, "jobTemplate.spec"), &path.child("jobTemplate").child("spec"), errors);
}
