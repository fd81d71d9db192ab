package dashboards

// Units without an ID in Grafana.
const (
	perSecond = "suffix:/s"
	perMinute = "suffix:/min"
)

// Expressions of several dashboards. Failure ratios are 0, and not absent, when nothing has failed yet.

func databaseFailures() string {
	return orZero(`platform:consign_db_query_failures_per_query:ratio_rate5m`, `platform:consign_db_queries:rate5m`)
}

func cacheFailures() string {
	return orZero(`platform:consign_cache_errors_per_operation:ratio_rate5m`, `platform:consign_cache_operations:rate5m`)
}

func authFailures() string {
	return orZero(`platform:consign_auth_failures_per_request:ratio_rate5m`, `platform:consign_auth_requests:rate5m`)
}

func mailFailures() string {
	return orZero(`platform:consign_email_failures_per_email:ratio_rate30m`, `sum(platform_outcome:consign_emails:rate10m)`)
}

func externalFailures() string {
	return orZero(`platform_service:consign_external_failures_per_request:ratio_rate5m`, `platform_service:consign_external_requests:rate5m`)
}

func jobFailures() string {
	return orZero(`platform_queue:consign_job_failures_per_job:ratio_rate5m`, `sum by (queue) (platform_queue_outcome:consign_jobs:rate5m)`)
}

func clientFailures() string {
	return orZero(`client:consign_api_errors_per_request:ratio_rate5m{`+ofClient+`}`, `client:consign_api_requests:rate5m{`+ofClient+`}`)
}

func processFailures(process string) string {
	return orZero(`client_process:consign_process_failures_per_process:ratio_rate5m{`+ofClient+`,`+process+`}`, `sum by (client, process) (client_process_outcome:consign_processes:rate5m{`+ofClient+`,`+process+`})`)
}
