package stream

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
)

// Total is the value of a series in an exact consumer that has read all acknowledged records. A histogram has two: its count and its sum.
type Total struct {
	Name   string
	Labels map[string]string
	// Value is an integer: events, microseconds, or minor units of the currency.
	Value int64
	// Scale converts Value to the metric's unit: 1,000,000 for microseconds, else 1. Money stays in minor units.
	Scale int64
}

// books count events by the contract's section 1, independently of any exporter.
type books struct {
	mu     sync.Mutex
	totals map[string]*Total
}

// Totals returns all series with an event, sorted by name and labels.
func (b *books) Totals() []Total {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []Total
	for _, key := range slices.SortedFunc(maps.Keys(b.totals), cmp.Compare[string]) {
		t := *b.totals[key]
		t.Labels = maps.Clone(t.Labels)
		all = append(all, t)
	}
	return all
}

// add adds to a counter; labels are names and values in turn.
func (b *books) add(name string, value int64, labels ...string) { b.addScaled(name, value, 1, labels) }

func (b *books) addScaled(name string, value, scale int64, labels []string) {
	key := name + "\x00" + strings.Join(labels, "\x00")
	t := b.totals[key]
	if t == nil {
		t = &Total{Name: name, Labels: make(map[string]string, len(labels)/2), Scale: scale}
		for i := 0; i < len(labels); i += 2 {
			t.Labels[labels[i]] = labels[i+1]
		}
		b.totals[key] = t
	}
	t.Value += value
}

// observe adds an observation to a histogram.
func (b *books) observe(name string, d Duration, labels ...string) {
	b.addScaled(name+"_count", 1, 1, labels)
	b.addScaled(name+"_sum", int64(d), microseconds, labels)
}

const microseconds = 1_000_000

// record counts a record, and its event if it counts.
func (b *books) record(topic, outcome string, e *Event) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.add(recordsTotal, 1, "topic", topic, "outcome", outcome)
	if e != nil {
		b.count(e)
	}
}

func (b *books) count(e *Event) {
	client := e.Client
	if client == "" {
		client = PlatformKey
	}
	switch d := e.Data.(type) {
	case APIRequest:
		code := strconv.Itoa(d.Status)
		b.add("consign_api_requests_total", 1, "route", d.Route, "method", d.Method, "code", code)
		b.observe("consign_api_request_duration_seconds", d.Duration, "route", d.Route)
		b.add("consign_client_api_requests_total", 1, "client", client, "code_class", code[:1]+"xx")
		b.observe("consign_client_api_request_duration_seconds", d.Duration, "client", client)
	case DBQuery:
		b.add("consign_db_queries_total", 1, "operation", d.Operation, "table", d.Table, "outcome", d.Outcome)
		b.observe("consign_db_query_duration_seconds", d.Duration, "operation", d.Operation, "table", d.Table)
	case DBPool, WorkerThreads: // gauges have no totals
	case CacheOperation:
		b.add("consign_cache_operations_total", 1, "operation", d.Operation, "result", d.Result)
		b.observe("consign_cache_operation_duration_seconds", d.Duration, "operation", d.Operation)
	case ExternalCall:
		b.add("consign_external_requests_total", 1, "service", d.Service, "operation", d.Operation, "outcome", d.Outcome)
		b.observe("consign_external_request_duration_seconds", d.Duration, "service", d.Service, "operation", d.Operation)
		b.add("consign_client_external_requests_total", 1, "client", client, "service", d.Service, "outcome", d.Outcome)
	case JobFinished:
		b.add("consign_jobs_total", 1, "queue", d.Queue, "task", d.Task, "outcome", d.Outcome)
		b.observe("consign_job_duration_seconds", d.Duration, "queue", d.Queue, "task", d.Task)
		b.observe("consign_job_wait_duration_seconds", d.Wait, "queue", d.Queue)
		b.add("consign_client_jobs_total", 1, "client", client, "outcome", d.Outcome)
		b.addScaled("consign_client_job_seconds_total", int64(d.Duration), microseconds, []string{"client", client})
	case ErrorRaised:
		b.add("consign_errors_total", 1, "category", d.Category, "kind", d.Kind, "component", d.Component)
		b.add("consign_client_errors_total", 1, "client", client, "category", d.Category, "kind", d.Kind)
		if d.UserVisible {
			b.add("consign_user_errors_total", 1, "feature", d.Feature)
		}
	case RecoveryAttempted:
		b.add("consign_recoveries_total", 1, "mechanism", d.Mechanism, "component", d.Component, "outcome", d.Outcome)
	case SessionStarted:
		b.add("consign_sessions_started_total", 1, "client", client, "role", d.Role)
	case SessionEnded:
		b.add("consign_sessions_ended_total", 1, "client", client, "role", d.Role)
		b.observe("consign_session_duration_seconds", d.Duration, "role", d.Role)
	case FeatureUsed:
		b.add("consign_feature_uses_total", 1, "feature", d.Feature, "role", d.Role)
		b.add("consign_client_feature_uses_total", 1, "client", client)
	case SecurityViolation:
		b.add("consign_security_violations_total", 1, "client", client, "kind", d.Kind)

	case OrderPlaced:
		b.add("consign_orders_total", 1, "client", client, "event", d.Event, "channel", d.Channel)
		b.add("consign_sales_amount_total", d.AmountCents, "client", client, "event", d.Event, "currency", d.Currency)
		b.add("consign_order_amount_count", 1, "currency", d.Currency)
		b.add("consign_order_amount_sum", d.AmountCents, "currency", d.Currency)
	case OrderRefunded:
		b.add("consign_refunds_total", 1, "client", client, "event", d.Event)
		b.add("consign_refund_reasons_total", 1, "reason", d.Reason)
		b.add("consign_refunds_amount_total", d.AmountCents, "client", client, "event", d.Event, "currency", d.Currency)
	case ItemListed:
		b.add("consign_items_listed_total", 1, "client", client, "event", d.Event)
		b.add("consign_category_items_total", 1, "category", d.Category, "change", "listed")
	case ItemSold:
		b.add("consign_items_sold_total", 1, "client", client, "event", d.Event, "markdown", strconv.FormatBool(d.Markdown))
		b.add("consign_category_items_total", 1, "category", d.Category, "change", "sold")
		b.observe("consign_item_time_to_sell_seconds", d.Listed)
	case ItemReturned:
		b.add("consign_items_returned_total", 1, "client", client, "event", d.Event)
		b.add("consign_category_items_total", 1, "category", d.Category, "change", "returned")
	case ItemTransferred:
		b.add("consign_items_transferred_total", 1, "client", client, "event", d.Event)
		b.add("consign_category_items_total", 1, "category", d.Category, "change", "transferred")
	case ConsignorRegistered:
		b.add("consign_consignors_registered_total", 1, "client", client, "event", d.Event, "type", d.Kind)
	case VolunteerSignedUp:
		b.add("consign_volunteer_signups_total", 1, "client", client, "event", d.Event, "shift", d.Shift)
	case VolunteerCancelled:
		b.add("consign_volunteer_cancellations_total", 1, "client", client, "event", d.Event)
	case DropoffScheduled:
		b.add("consign_dropoffs_total", 1, "client", client, "event", d.Event, "outcome", "scheduled")
	case DropoffCompleted:
		b.add("consign_dropoffs_total", 1, "client", client, "event", d.Event, "outcome", "completed")
		b.observe("consign_dropoff_duration_seconds", d.Duration)
	case DropoffMissed:
		b.add("consign_dropoffs_total", 1, "client", client, "event", d.Event, "outcome", "missed")

	case WebhookReceived:
		b.add("consign_webhooks_received_total", 1, "provider", d.Provider, "topic", d.Topic, "outcome", d.Outcome)
		b.observe("consign_webhook_delay_seconds", d.Delay, "provider", d.Provider)
		b.add("consign_client_webhooks_received_total", 1, "client", client, "provider", d.Provider, "outcome", d.Outcome)
	case WebhookProcessed:
		b.add("consign_webhooks_processed_total", 1, "provider", d.Provider, "topic", d.Topic, "outcome", d.Outcome)
		b.observe("consign_webhook_processing_duration_seconds", d.Duration, "provider", d.Provider)
		b.add("consign_client_webhooks_processed_total", 1, "client", client, "outcome", d.Outcome)
	case OrderImported:
		b.add("consign_order_imports_total", 1, "client", client, "outcome", d.Outcome)
		b.observe("consign_order_import_delay_seconds", d.Delay)
	case SyncFinished:
		b.add("consign_sync_runs_total", 1, "client", client, "kind", d.Kind, "outcome", d.Outcome)
		b.add("consign_sync_conflicts_total", int64(d.Conflicts), "client", client, "kind", d.Kind)
		b.observe("consign_sync_duration_seconds", d.Duration, "kind", d.Kind)
	case AuthRequest:
		b.add("consign_auth_requests_total", 1, "operation", d.Operation, "outcome", d.Outcome)
		b.observe("consign_auth_request_duration_seconds", d.Duration, "operation", d.Operation)
		b.add("consign_client_auth_requests_total", 1, "client", client, "outcome", d.Outcome)
	case AuthToken:
		b.add("consign_token_validations_total", 1, "result", d.Result)
	case EmailQueued:
		b.mail(client, d.Template, "queued")
	case EmailSent:
		b.mail(client, d.Template, "sent")
		b.observe("consign_email_delay_seconds", d.Delay, "stage", "sent")
	case EmailDelivered:
		b.mail(client, d.Template, "delivered")
		b.observe("consign_email_delay_seconds", d.Delay, "stage", "delivered")
	case EmailDeferred:
		b.mail(client, d.Template, "deferred")
	case EmailBounced:
		b.mail(client, d.Template, d.Bounce+"_bounced")
	case EmailRejected:
		b.mail(client, d.Template, "rejected")
	case EmailComplained:
		b.mail(client, d.Template, "complained")

	case ProcessStarted:
		b.add("consign_processes_total", 1, "client", client, "process", d.Process, "outcome", "started")
	case ProcessFinished:
		b.add("consign_processes_total", 1, "client", client, "process", d.Process, "outcome", d.Outcome)
		b.observe("consign_process_duration_seconds", d.Duration, "process", d.Process)
	case ProcessViolated:
		b.add("consign_processes_total", 1, "client", client, "process", d.Process, "outcome", "violated")
	case AppStarted:
		b.add("consign_app_starts_total", 1, "component", d.Component)
	case AppCrashed:
		b.add("consign_app_crashes_total", 1, "component", d.Component)
	default:
		panic("stream: no counters for " + typeOf(d)) // a type that is missing here
	}
}

func (b *books) mail(client, template, outcome string) {
	b.add("consign_emails_total", 1, "template", template, "outcome", outcome)
	b.add("consign_client_emails_total", 1, "client", client, "outcome", outcome)
}
