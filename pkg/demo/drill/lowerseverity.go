package drill

import "strings"

// LowerSeverity returns the alerts of lower severity that may fire together with the given ones, because they watch the same value with a lower
// threshold, or over a longer time.
func LowerSeverity(alerts []string) []string {
	lower := map[string][]string{
		"ApiFailing":                   {"ApiErrorsElevated _platform *"},
		"ApiSlow":                      {"ApiLatencyHigh _platform *", "ApiSlowerThanGoal _platform *"},
		"AuthenticationFailing":        {"ExternalErrorsElevated _platform clerk"},
		"BackupFailed":                 {"BackupLate _platform *"},
		"CacheDown":                    {"CacheLatencyHigh _platform *", "CacheHitRateLow _platform *", "ApiLatencyHigh _platform *", "ClientApiLatencyHigh *"},
		"CacheEvicting":                {"CacheMemoryHigh _platform *", "CacheHitRateLow _platform *"},
		"CertificateExpiring":          {"CertificateRenewalDue _platform *"},
		"CheckoutFailing":              {"CheckoutErrorsElevated *", "SalesBelowExpected *"},
		"ClerkDown":                    {"ExternalErrorsElevated _platform clerk", "ExternalLatencyHigh _platform clerk"},
		"ClerkSlow":                    {"ExternalLatencyHigh _platform clerk"},
		"ClientApiFailing":             {"ClientApiErrorsElevated *", "ApiErrorsElevated _platform *"},
		"ClientApiSlow":                {"ClientApiLatencyHigh *", "ApiLatencyHigh _platform *", "ApiSlowerThanGoal _platform *"},
		"ConnectionPoolExhausted":      {"ConnectionPoolHigh _platform *"},
		"DatabaseConnectionsExhausted": {"DatabaseConnectionsHigh _platform *", "DatabaseConnectionsGrowing _platform *"},
		"DatabaseDown":                 {"ConsignwatchDataStale _platform *", "ConsignwatchCollectorNeverSucceeded _platform *"},
		"DatabaseQueriesFailing":       {"DatabaseErrorsElevated _platform *"},
		"DatabaseSlow":                 {"DatabaseLatencyHigh _platform *"},
		"DatabaseSlowQueries":          {"DatabaseLatencyHigh _platform *", "ApiLatencyHigh _platform *", "ClientApiLatencyHigh *", "ApiSlowerThanGoal _platform *", "ConnectionPoolHigh _platform *"},
		"DiskAlmostFull":               {"DiskFillingSoon _platform *", "DiskFullInDays _platform *"},
		"ExternalServiceFailing":       {"ExternalErrorsElevated _platform *"},
		"ExternalServiceSlow":          {"ExternalLatencyHigh _platform *"},
		"JobsFailing":                  {"JobErrorsElevated _platform *", "JobWaitHigh _platform *", "JobsWaitLongerThanGoal _platform *"},
		"MailBouncing":                 {"MailReputationLow *"},
		"MailDelayed":                  {"MailDelayHigh _platform *"},
		"MandrillDown":                 {"ExternalErrorsElevated _platform mandrill", "ExternalLatencyHigh _platform mandrill", "MailWebhookFailing _platform *", "JobErrorsElevated _platform email"},
		"OrderImportsDelayed":          {"OrderImportDelayHigh _platform *"},
		"OrdersMissing":                {"OrderImportDelayHigh _platform *"}, // which are imported late, afterwards
		"PlatformUnreachable":          {"MailWebhookFailing _platform *", "SalesBelowExpected *"},
		"QueueBacklog":                 {"QueueLagHigh _platform *", "JobWaitHigh _platform *", "JobsWaitLongerThanGoal _platform *", "QueueFillingUp _platform *"},
		"QueueBrokerDown":              {"QueueLagHigh _platform *", "JobWaitHigh _platform *", "JobsWaitLongerThanGoal _platform *", "QueueUnderReplicated _platform *", "SyncLate *"},
		"QueueWorkersStopped":          {"QueueLagHigh _platform *", "JobWaitHigh _platform *", "JobsWaitLongerThanGoal _platform *", "QueueFillingUp _platform *", "MailDelayHigh _platform *", "OrderImportDelayHigh _platform *", "SyncLate *"},
		"ShopAccessRefused":            {"ExternalErrorsElevated _platform shopify", "ShopTokenExpiring *", "SyncLate *"},
		"ShopUnreachable":              {"ExternalErrorsElevated _platform shopify", "ExternalLatencyHigh _platform shopify", "SyncLate *"},
		"ShopifyDown":                  {"ExternalErrorsElevated _platform shopify", "ExternalLatencyHigh _platform shopify", "SyncLate *", "CheckoutErrorsElevated *", "JobErrorsElevated _platform sync"},
		"ShopThrottled":                {"ExternalErrorsElevated _platform shopify"},
		"SupportTicketsPilingUp":       {"SupportTicketsWaiting *"},
		"SyncFailing":                  {"SyncLate *", "ItemsNotSynced *", "JobErrorsElevated _platform sync"},
		"WorkerThreadsExhausted":       {"JobWaitHigh _platform *"},
	}
	var all []string
	for _, a := range alerts {
		name, _, _ := strings.Cut(a, " ")
		all = append(all, lower[name]...)
	}
	return all
}
