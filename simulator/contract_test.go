package simulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/consignwatch/consignwatch/simulator/oracle"
)

// The contract's section 1 as a table, and a slow and strict reader of the stream, independent of simulator/stream: they check what is
// published, and the totals.

type contractType struct {
	topic  string
	fields string   // names with what they hold: | separates the values of a closed set
	feeds  []string // METRIC{labels} [+FIELD | FIELD seconds | FIELD money] [if FIELD]; a label is its own field, or label=field, or label="constant"
}

const (
	roles  = "shopper|consignor|volunteer|event_admin|client_admin|super_admin"
	shifts = "drop_off_sorting|item_organization|shopper_assistance|general_help"
)

// theContract never changes.
var theContract = contract()

func contract() map[string]contractType {
	const (
		telemetry   = "consign.telemetry"
		commerce    = "consign.commerce"
		integration = "consign.integration"
	)
	mail := func(outcome, fields string, more ...string) contractType {
		label := `"` + outcome + `"`
		if outcome == "" {
			label = "bounce+_bounced"
		}
		return contractType{integration, "template:slug" + fields, append(more, "consign_emails_total{template,outcome="+label+"}", "consign_client_emails_total{client,outcome="+label+"}")}
	}
	item := func(change, fields string, more ...string) contractType {
		labels := "client,event"
		if change == "sold" {
			labels += ",markdown"
		}
		return contractType{commerce, "event:slug category:slug" + fields,
			append(more, "consign_items_"+change+"_total{"+labels+"}", `consign_category_items_total{category,change="`+change+`"}`)}
	}
	return map[string]contractType{
		"consign.api.request": {telemetry, "route:route method:GET|POST|PUT|DELETE status:int duration_seconds:seconds", []string{
			"consign_api_requests_total{route,method,code=status}", "consign_api_request_duration_seconds{route} duration_seconds seconds",
			"consign_client_api_requests_total{client,code_class=status/100}", "consign_client_api_request_duration_seconds{client} duration_seconds seconds"}},
		"consign.db.query": {telemetry, "operation:select|insert|update|delete table:slug outcome:ok|error|timeout duration_seconds:seconds", []string{
			"consign_db_queries_total{operation,table,outcome}", "consign_db_query_duration_seconds{operation,table} duration_seconds seconds"}},
		"consign.db.pool":        {telemetry, "pool:slug in_use:int idle:int max:int waits:int", nil},
		"consign.worker.threads": {telemetry, "pool:slug busy:int max:int", nil},
		"consign.cache.operation": {telemetry, "operation:slug result:hit|miss|ok|error duration_seconds:seconds", []string{
			"consign_cache_operations_total{operation,result}", "consign_cache_operation_duration_seconds{operation} duration_seconds seconds"}},
		"consign.external.call": {telemetry, "service:shopify|clerk|mandrill|storage operation:name outcome:ok|error|timeout|throttled duration_seconds:seconds", []string{
			"consign_external_requests_total{service,operation,outcome}", "consign_external_request_duration_seconds{service,operation} duration_seconds seconds",
			"consign_client_external_requests_total{client,service,outcome}"}},
		"consign.job.finished": {telemetry, "queue:slug task:slug outcome:succeeded|failed|retried|dead attempt:int wait_seconds:seconds duration_seconds:seconds", []string{
			"consign_jobs_total{queue,task,outcome}", "consign_job_duration_seconds{queue,task} duration_seconds seconds",
			"consign_job_wait_duration_seconds{queue} wait_seconds seconds", "consign_client_jobs_total{client,outcome}",
			"consign_client_job_seconds_total{client} +duration_seconds"}},
		"consign.error.raised": {telemetry, "category:system|integration|business kind:crash|database|cache|queue|api|webhook_miss|sync|timeout|validation|process_violation|state_conflict|data_inconsistency component:slug user_visible:bool", []string{
			"consign_errors_total{category,kind,component}", "consign_client_errors_total{client,category,kind}", "consign_user_errors_total{feature} if user_visible"}},
		"consign.recovery.attempted": {telemetry, "mechanism:retry|fallback|self_heal|state_restore component:slug outcome:succeeded|failed", []string{
			"consign_recoveries_total{mechanism,component,outcome}"}},
		"consign.session.started": {telemetry, "role:" + roles, []string{"consign_sessions_started_total{client,role}"}},
		"consign.session.ended": {telemetry, "duration_seconds:seconds role:" + roles, []string{
			"consign_sessions_ended_total{client,role}", "consign_session_duration_seconds{role} duration_seconds seconds"}},
		"consign.feature.used":       {telemetry, "feature:slug role:" + roles, []string{"consign_feature_uses_total{feature,role}", "consign_client_feature_uses_total{client}"}},
		"consign.security.violation": {telemetry, "kind:cross_tenant_access|forged_token|privilege_escalation|brute_force|data_export", []string{"consign_security_violations_total{client,kind}"}},
		"consign.order.placed": {commerce, "event:slug channel:online|pos items:int amount_cents:cents currency:currency", []string{
			"consign_orders_total{client,event,channel}", "consign_sales_amount_total{client,event,currency} +amount_cents", "consign_order_amount{currency} amount_cents money"}},
		"consign.order.refunded": {commerce, "event:slug items:int amount_cents:cents currency:currency reason:slug", []string{
			"consign_refunds_total{client,event}", "consign_refund_reasons_total{reason}", "consign_refunds_amount_total{client,event,currency} +amount_cents"}},
		"consign.item.listed":          item("listed", ""),
		"consign.item.sold":            item("sold", " amount_cents:cents currency:currency markdown:bool listed_seconds:seconds", "consign_item_time_to_sell_seconds{} listed_seconds seconds"),
		"consign.item.returned":        item("returned", ""),
		"consign.item.transferred":     item("transferred", ""),
		"consign.consignor.registered": {commerce, "event:slug type:regular|super fee_paid:bool", []string{"consign_consignors_registered_total{client,event,type}"}},
		"consign.volunteer.signedup":   {commerce, "event:slug shift:" + shifts, []string{"consign_volunteer_signups_total{client,event,shift}"}},
		"consign.volunteer.cancelled":  {commerce, "event:slug shift:" + shifts, []string{"consign_volunteer_cancellations_total{client,event}"}},
		"consign.dropoff.scheduled":    {commerce, "event:slug", []string{`consign_dropoffs_total{client,event,outcome="scheduled"}`}},
		"consign.dropoff.completed": {commerce, "event:slug duration_seconds:seconds items:int", []string{
			`consign_dropoffs_total{client,event,outcome="completed"}`, "consign_dropoff_duration_seconds{} duration_seconds seconds"}},
		"consign.dropoff.missed": {commerce, "event:slug", []string{`consign_dropoffs_total{client,event,outcome="missed"}`}},
		"consign.webhook.received": {integration, "provider:shopify|clerk|mandrill topic:name outcome:accepted|invalid_signature|invalid_payload|duplicate delay_seconds:seconds", []string{
			"consign_webhooks_received_total{provider,topic,outcome}", "consign_webhook_delay_seconds{provider} delay_seconds seconds",
			"consign_client_webhooks_received_total{client,provider,outcome}"}},
		"consign.webhook.processed": {integration, "provider:shopify|clerk|mandrill topic:name outcome:succeeded|failed|retried|dead duration_seconds:seconds", []string{
			"consign_webhooks_processed_total{provider,topic,outcome}", "consign_webhook_processing_duration_seconds{provider} duration_seconds seconds",
			"consign_client_webhooks_processed_total{client,outcome}"}},
		"consign.order.imported": {integration, "event:slug outcome:succeeded|failed delay_seconds:seconds", []string{
			"consign_order_imports_total{client,outcome}", "consign_order_import_delay_seconds{} delay_seconds seconds"}},
		"consign.sync.finished": {integration, "kind:products|inventory|orders|email_address outcome:succeeded|failed items:int conflicts:int duration_seconds:seconds", []string{
			"consign_sync_runs_total{client,kind,outcome}", "consign_sync_conflicts_total{client,kind} +conflicts", "consign_sync_duration_seconds{kind} duration_seconds seconds"}},
		"consign.auth.request": {integration, "operation:sign_in|sign_up|refresh|sign_out|verify outcome:ok|denied|error|timeout duration_seconds:seconds", []string{
			"consign_auth_requests_total{operation,outcome}", "consign_auth_request_duration_seconds{operation} duration_seconds seconds",
			"consign_client_auth_requests_total{client,outcome}"}},
		"consign.auth.token":       {integration, "result:valid|expired|invalid_signature|wrong_tenant|malformed", []string{"consign_token_validations_total{result}"}},
		"consign.email.queued":     mail("queued", ""),
		"consign.email.sent":       mail("sent", " delay_seconds:seconds", `consign_email_delay_seconds{stage="sent"} delay_seconds seconds`),
		"consign.email.delivered":  mail("delivered", " delay_seconds:seconds", `consign_email_delay_seconds{stage="delivered"} delay_seconds seconds`),
		"consign.email.deferred":   mail("deferred", ""),
		"consign.email.bounced":    mail("", " bounce:hard|soft"),
		"consign.email.rejected":   mail("rejected", ""),
		"consign.email.complained": mail("complained", ""),
		"consign.process.started":  {telemetry, "process:" + processes, []string{`consign_processes_total{client,process,outcome="started"}`}},
		"consign.process.finished": {telemetry, "outcome:succeeded|failed duration_seconds:seconds process:" + processes, []string{
			"consign_processes_total{client,process,outcome}", "consign_process_duration_seconds{process} duration_seconds seconds"}},
		"consign.process.violated": {telemetry, "process:" + processes, []string{`consign_processes_total{client,process,outcome="violated"}`}},
		"consign.app.started":      {telemetry, "component:slug version:name reason:any", []string{"consign_app_starts_total{component}"}},
		"consign.app.crashed":      {telemetry, "component:slug version:name reason:any", []string{"consign_app_crashes_total{component}"}},
	}
}

const processes = "intake|checkout|reconciliation|settlement|pickup"

// contractEvent is an event as its reader sees it.
type contractEvent struct {
	ID, Source, Type, SpecVersion, Time, Client, TraceParent string
	Data                                                     map[string]any
	binary                                                   bool
}

var (
	errOversized = errors.New("oversized")
	errNotUTF8   = errors.New("not_utf8")
	errMalformed = errors.New("malformed")
	errUnknown   = errors.New("unknown_type")
)

// parseEvent parses a record by the contract.
func parseEvent(r *kgo.Record) (*contractEvent, error) {
	switch {
	case len(r.Value) > 1<<20:
		return nil, errOversized
	case !utf8.Valid(r.Value):
		return nil, errNotUTF8
	}
	all, err := object(r.Value)
	if err != nil {
		return nil, err
	}
	text := func(name string) string { s, _ := all[name].(string); return s }
	e := &contractEvent{}
	if i := slices.IndexFunc(r.Headers, func(h kgo.RecordHeader) bool { return h.Key == "ce_specversion" }); i >= 0 {
		e.binary, e.Data = true, all
		headers := map[string]string{}
		for _, h := range r.Headers {
			headers[strings.TrimPrefix(h.Key, "ce_")] = string(h.Value)
		}
		text = func(name string) string { return headers[name] }
	} else if data, ok := all["data"].(map[string]any); ok {
		e.Data = data
	}
	e.ID, e.Source, e.Type, e.SpecVersion = text("id"), text("source"), text("type"), text("specversion")
	e.Time, e.Client, e.TraceParent = text("time"), text("clientid"), text("traceparent")
	if e.ID == "" || e.Source == "" || e.Type == "" || e.SpecVersion != "1.0" {
		return nil, fmt.Errorf("%w: attributes", errMalformed)
	}
	kind, ok := theContract[e.Type]
	if !ok {
		return nil, errUnknown
	}
	for field := range strings.FieldsSeq(kind.fields) {
		name, what, _ := strings.Cut(field, ":")
		n, err := number(e.Data[name])
		switch {
		case what == "seconds" && (err != nil || n < 0 || n > 1e9), what == "int" && (err != nil || n != math.Trunc(n)),
			what == "cents" && (err != nil || n != math.Trunc(n) || n < 0 || n > 1e15),
			what == "currency" && !slices.Contains([]any{"USD", "CAD", "EUR", "JPY"}, e.Data[name]):
			return nil, fmt.Errorf("%w: %s", errMalformed, name)
		}
	}
	return e, nil
}

func number(v any) (float64, error) {
	n, ok := v.(json.Number)
	if !ok {
		return 0, errors.New("no number")
	}
	return n.Float64()
}

// object parses a JSON object without duplicate keys, and not deeper than 64.
func object(text []byte) (map[string]any, error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	value, err := read(d, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: %v", errMalformed, err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, fmt.Errorf("%w: more than one value", errMalformed)
	}
	all, ok := value.(map[string]any)
	if !ok {
		return nil, fmt.Errorf("%w: no object", errMalformed)
	}
	return all, nil
}

func read(d *json.Decoder, depth int) (any, error) {
	token, err := d.Token()
	open, ok := token.(json.Delim)
	if err != nil || !ok {
		return token, err
	}
	if depth == 64 {
		return nil, errors.New("too deep")
	}
	members, elements := map[string]any{}, []any{}
	for d.More() {
		name := ""
		if open == '{' {
			key, err := d.Token()
			if err != nil {
				return nil, err
			}
			name, _ = key.(string)
			if _, twice := members[name]; twice {
				return nil, fmt.Errorf("%v stands twice", key)
			}
		}
		value, err := read(d, depth+1)
		if err != nil {
			return nil, err
		}
		if open == '{' {
			members[name] = value
		} else {
			elements = append(elements, value)
		}
	}
	if _, err = d.Token(); open == '{' {
		return members, err
	}
	return elements, err
}

// recount is what a slow and exact consumer counts.
func recount(records []*kgo.Record) map[string]float64 {
	counts := map[string]int64{} // times in microseconds
	times := map[string]bool{}
	seen := map[string]bool{}
	for _, r := range records {
		outcome := "counted"
		e, err := parseEvent(r)
		for _, reason := range []error{errOversized, errNotUTF8, errMalformed, errUnknown} {
			if errors.Is(err, reason) {
				outcome = reason.Error()
			}
		}
		if err == nil && r.Topic == "consign.commerce" {
			if seen[e.Source+"\x00"+e.ID] {
				outcome = "duplicate"
			}
			seen[e.Source+"\x00"+e.ID] = true
		}
		counts[series(oracle.Sample{Name: "consignwatch_records_total", Labels: map[string]string{"topic": r.Topic, "outcome": outcome}})]++
		if outcome == "counted" {
			e.feed(counts, times)
		}
	}
	all := map[string]float64{}
	for series, n := range counts {
		all[series] = float64(n)
		if times[series] {
			all[series] /= 1e6
		}
	}
	return all
}

var feedPattern = regexp.MustCompile(`^(\w+)\{(.*)\}(?: \+(\w+)| (\w+) (seconds|money))?(?: if (\w+))?$`)

// feed is a parsed entry of contractType.feeds.
type feed struct {
	name, adds, observes, unit, condition string
	labels                                [][2]string
}

func parseFeed(text string) feed {
	m := feedPattern.FindStringSubmatch(text)
	if m == nil {
		panic(text)
	}
	f := feed{name: m[1], adds: m[3], observes: m[4], unit: m[5], condition: m[6]}
	if strings.HasSuffix(f.adds, "_seconds") {
		f.unit = "seconds"
	}
	for label := range strings.SplitSeq(m[2], ",") {
		if name, from, found := strings.Cut(label, "="); found {
			f.labels = append(f.labels, [2]string{name, from})
		} else if label != "" {
			f.labels = append(f.labels, [2]string{name, name})
		}
	}
	return f
}

// theFeeds never changes.
var theFeeds = func() map[string][]feed {
	all := map[string][]feed{}
	for name, kind := range theContract {
		for _, text := range kind.feeds {
			all[name] = append(all[name], parseFeed(text))
		}
	}
	return all
}()

func (e *contractEvent) feed(counts map[string]int64, times map[string]bool) {
	for _, f := range theFeeds[e.Type] {
		if f.condition != "" && e.Data[f.condition] != true {
			continue
		}
		s := oracle.Sample{Name: f.name, Labels: map[string]string{}}
		for _, label := range f.labels {
			s.Labels[label[0]] = e.label(label[1])
		}
		add := func(suffix, field string) {
			series := f.name + suffix + "\x00" + s.Key()
			n := int64(1)
			if field != "" {
				value, _ := number(e.Data[field])
				if n = int64(value); f.unit == "seconds" {
					n = int64(math.Round(value * 1e6))
					times[series] = true
				}
			}
			counts[series] += n
		}
		if f.observes == "" {
			add("", f.adds)
			continue
		}
		add("_count", "")
		add("_sum", f.observes)
	}
}

func (e *contractEvent) label(from string) string {
	switch {
	case from == "client" && e.Client == "":
		return "_platform"
	case from == "client":
		return e.Client
	case from == "status/100":
		return fmt.Sprint(e.Data["status"])[:1] + "xx"
	case from[0] == '"':
		return strings.Trim(from, `"`)
	}
	from, suffix, _ := strings.Cut(from, "+")
	return fmt.Sprint(e.Data[from]) + suffix
}

// series returns name and labels as one string.
func series(s oracle.Sample) string { return s.Name + "\x00" + s.Key() }

var fieldPatterns = map[string]*regexp.Regexp{
	"route": regexp.MustCompile(`^/[A-Za-z0-9_.:{}*/-]*$`),
	"slug":  regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`),
	"name":  regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.:/-]{0,99}$`),
	"any":   regexp.MustCompile(`.`),
	"trace": regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-01$`),
}

// check returns what a strict reader finds wrong with an event.
func (e *contractEvent) check(r *kgo.Record) error {
	kind := theContract[e.Type]
	if r.Topic != kind.topic {
		return fmt.Errorf("%s in topic %s", e.Type, r.Topic)
	}
	at, err := time.Parse(time.RFC3339, e.Time)
	if err != nil || time.Since(at).Abs() > time.Hour {
		return fmt.Errorf("%s: time %q", e.Type, e.Time)
	}
	if e.Client != "" && !fieldPatterns["slug"].MatchString(e.Client) || e.Client != string(r.Key) && (e.Client != "" || string(r.Key) != "_platform") {
		return fmt.Errorf("%s: client %q, key %q", e.Type, e.Client, r.Key)
	}
	if e.TraceParent != "" && !fieldPatterns["trace"].MatchString(e.TraceParent) {
		return fmt.Errorf("%s: traceparent %q", e.Type, e.TraceParent)
	}
	known := map[string]bool{"feature": e.Type == "consign.error.raised"}
	for field := range strings.FieldsSeq(kind.fields) {
		name, what, _ := strings.Cut(field, ":")
		known[name] = true
		value, there := e.Data[name]
		text, isText := value.(string)
		_, isBool := value.(bool)
		n, err := number(value)
		ok := false
		switch what {
		case "bool":
			ok = isBool
		case "int":
			ok = err == nil && n >= 0
		case "seconds", "cents", "currency": // parseEvent has checked it
			ok = true
		default:
			if p := fieldPatterns[what]; p != nil {
				ok = isText && p.MatchString(text)
			} else {
				ok = isText && slices.Contains(strings.Split(what, "|"), text)
			}
		}
		if !there || !ok {
			return fmt.Errorf("%s: %s is %v, want %s", e.Type, name, value, what)
		}
	}
	for name := range e.Data {
		if !known[name] {
			return fmt.Errorf("%s: %s is not in the contract", e.Type, name)
		}
	}
	if e.Data["user_visible"] == true && e.Data["feature"] == nil {
		return fmt.Errorf("%s: which feature?", e.Type)
	}
	return nil
}
