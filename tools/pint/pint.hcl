# pint without a Prometheus: make check.
checks {
  disabled = [
    # Groups read what others record, on purpose: each has its own interval, and a sample that is one evaluation old does no harm.
    "rule/dependency",
  ]
}

# They have no condition to compare: the Watchdog always fires, InhibitionSourceRecent while what it reads exists, and TargetMissing while it does not.
rule {
  match {
    kind = "alerting"
    name = "Watchdog|InhibitionSourceRecent|TargetMissing"
  }
  disable = ["alerts/comparison"]
}
