//! Q06xx: reports.

codes! {
    FOREIGN = "Q0601", "the file is no report that this quantize can read",
        "A report is the report.json of a run. It carries the version of its form in `schema_version`; a report of a \
         newer version may mean other things by the same words, so it is refused rather than misread. Files edited \
         by hand are refused where a field has a wrong type, which the message names.";
}
