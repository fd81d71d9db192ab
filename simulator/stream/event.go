// Package stream is the platform's event stream: the types of CloudEvents, their encoding as Kafka records, and exact totals of the
// acknowledged records. Which events are published, and when, is decided by its user.
package stream

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// The topics.
const (
	Telemetry   = "consign.telemetry"
	Commerce    = "consign.commerce"
	Integration = "consign.integration"
)

// Topics returns the topics with their numbers of partitions.
func Topics() map[string]int32 { return map[string]int32{Telemetry: 4, Commerce: 4, Integration: 4} }

// PlatformKey is the key of events without a client: events of one source stay in one partition.
const PlatformKey = "_platform"

// Event is a CloudEvent.
type Event struct {
	ID, Source  string
	Time        time.Time
	Client      string // the attribute clientid; "": no client
	TraceParent string // of requests
	Data        Data
}

// Data is the data of an event of one type: one of the structs below.
type Data any

var typeName = regexp.MustCompile(`^([A-Z]+|[A-Z][a-z]+)([A-Z][a-z].*)$`)

// typeOf returns the CloudEvent's type, which is the name of the struct: ItemListed is consign.item.listed, DBPool is consign.db.pool.
func typeOf(d Data) string {
	return strings.ToLower(typeName.ReplaceAllString(reflect.TypeOf(d).Name(), "consign.$1.$2"))
}

// topicOf returns the topic of an event.
func topicOf(d Data) string {
	switch d.(type) {
	case OrderPlaced, OrderRefunded, ItemListed, ItemSold, ItemReturned, ItemTransferred, ConsignorRegistered,
		VolunteerSignedUp, VolunteerCancelled, DropoffScheduled, DropoffCompleted, DropoffMissed:
		return Commerce
	case WebhookReceived, WebhookProcessed, OrderImported, SyncFinished, AuthRequest, AuthToken,
		EmailQueued, EmailSent, EmailDelivered, EmailDeferred, EmailBounced, EmailRejected, EmailComplained:
		return Integration
	default:
		return Telemetry
	}
}

// CountsOnce reports whether duplicates of an event are not counted: those of the sale.
func CountsOnce(d Data) bool { return topicOf(d) == Commerce }

// Duration is a time span in microseconds, so that sums are exact. In JSON it is in seconds.
type Duration int64

// Seconds makes a Duration. A negative one is 0: both times are of the same clock.
func Seconds(d time.Duration) Duration { return Duration(max(d, 0).Microseconds()) }

// MarshalJSON writes seconds, with as many digits as needed.
func (d Duration) MarshalJSON() ([]byte, error) {
	return strconv.AppendFloat(nil, float64(d)/1e6, 'f', -1, 64), nil
}

// The data of the events. The names in JSON are those of the contract.
type (
	APIRequest struct {
		Route    string   `json:"route"`
		Method   string   `json:"method"`
		Status   int      `json:"status"`
		Duration Duration `json:"duration_seconds"`
	}
	DBQuery struct {
		Operation string   `json:"operation"`
		Table     string   `json:"table"`
		Outcome   string   `json:"outcome"`
		Duration  Duration `json:"duration_seconds"`
	}
	DBPool struct {
		Pool  string `json:"pool"`
		InUse int    `json:"in_use"`
		Idle  int    `json:"idle"`
		Max   int    `json:"max"`
		Waits int    `json:"waits"`
	}
	WorkerThreads struct {
		Pool string `json:"pool"`
		Busy int    `json:"busy"`
		Max  int    `json:"max"`
	}
	CacheOperation struct {
		Operation string   `json:"operation"`
		Result    string   `json:"result"`
		Duration  Duration `json:"duration_seconds"`
	}
	ExternalCall struct {
		Service   string   `json:"service"`
		Operation string   `json:"operation"`
		Outcome   string   `json:"outcome"`
		Duration  Duration `json:"duration_seconds"`
	}
	JobFinished struct {
		Queue    string   `json:"queue"`
		Task     string   `json:"task"`
		Outcome  string   `json:"outcome"`
		Attempt  int      `json:"attempt"`
		Wait     Duration `json:"wait_seconds"`
		Duration Duration `json:"duration_seconds"`
	}
	ErrorRaised struct {
		Category    string `json:"category"`
		Kind        string `json:"kind"`
		Component   string `json:"component"`
		UserVisible bool   `json:"user_visible"`
		Feature     string `json:"feature,omitempty"` // set when a user saw the error
	}
	RecoveryAttempted struct {
		Mechanism string `json:"mechanism"`
		Component string `json:"component"`
		Outcome   string `json:"outcome"`
	}
	SessionStarted struct {
		Role string `json:"role"`
	}
	SessionEnded struct {
		Role     string   `json:"role"`
		Duration Duration `json:"duration_seconds"`
	}
	FeatureUsed struct {
		Feature string `json:"feature"`
		Role    string `json:"role"`
	}
	SecurityViolation struct {
		Kind string `json:"kind"`
	}

	OrderPlaced struct {
		Event       string `json:"event"`
		Channel     string `json:"channel"`
		Items       int    `json:"items"`
		AmountCents int64  `json:"amount_cents"`
		Currency    string `json:"currency"`
	}
	OrderRefunded struct {
		Event       string `json:"event"`
		Items       int    `json:"items"`
		AmountCents int64  `json:"amount_cents"`
		Currency    string `json:"currency"`
		Reason      string `json:"reason"`
	}
	ItemListed struct {
		Event    string `json:"event"`
		Category string `json:"category"`
	}
	ItemSold struct {
		Event       string   `json:"event"`
		Category    string   `json:"category"`
		AmountCents int64    `json:"amount_cents"`
		Currency    string   `json:"currency"`
		Markdown    bool     `json:"markdown"`
		Listed      Duration `json:"listed_seconds"`
	}
	ItemReturned struct {
		Event    string `json:"event"`
		Category string `json:"category"`
	}
	ItemTransferred struct {
		Event    string `json:"event"`
		Category string `json:"category"`
	}
	ConsignorRegistered struct {
		Event   string `json:"event"`
		Kind    string `json:"type"`
		FeePaid bool   `json:"fee_paid"`
	}
	VolunteerSignedUp struct {
		Event string `json:"event"`
		Shift string `json:"shift"`
	}
	VolunteerCancelled struct {
		Event string `json:"event"`
		Shift string `json:"shift"`
	}
	DropoffScheduled struct {
		Event string `json:"event"`
	}
	DropoffCompleted struct {
		Event    string   `json:"event"`
		Duration Duration `json:"duration_seconds"`
		Items    int      `json:"items"`
	}
	DropoffMissed struct {
		Event string `json:"event"`
	}

	WebhookReceived struct {
		Provider string   `json:"provider"`
		Topic    string   `json:"topic"`
		Outcome  string   `json:"outcome"`
		Delay    Duration `json:"delay_seconds"`
	}
	WebhookProcessed struct {
		Provider string   `json:"provider"`
		Topic    string   `json:"topic"`
		Outcome  string   `json:"outcome"`
		Duration Duration `json:"duration_seconds"`
	}
	OrderImported struct {
		Event   string   `json:"event"`
		Outcome string   `json:"outcome"`
		Delay   Duration `json:"delay_seconds"`
	}
	SyncFinished struct {
		Kind      string   `json:"kind"`
		Outcome   string   `json:"outcome"`
		Items     int      `json:"items"`
		Conflicts int      `json:"conflicts"`
		Duration  Duration `json:"duration_seconds"`
	}
	AuthRequest struct {
		Operation string   `json:"operation"`
		Outcome   string   `json:"outcome"`
		Duration  Duration `json:"duration_seconds"`
	}
	AuthToken struct {
		Result string `json:"result"`
	}
	EmailQueued struct {
		Template string `json:"template"`
	}
	EmailSent struct {
		Template string   `json:"template"`
		Delay    Duration `json:"delay_seconds"`
	}
	EmailDelivered struct {
		Template string   `json:"template"`
		Delay    Duration `json:"delay_seconds"`
	}
	EmailDeferred struct {
		Template string `json:"template"`
	}
	EmailBounced struct {
		Template string `json:"template"`
		Bounce   string `json:"bounce"`
	}
	EmailRejected struct {
		Template string `json:"template"`
	}
	EmailComplained struct {
		Template string `json:"template"`
	}

	ProcessStarted struct {
		Process string `json:"process"`
	}
	ProcessFinished struct {
		Process  string   `json:"process"`
		Outcome  string   `json:"outcome"`
		Duration Duration `json:"duration_seconds"`
	}
	ProcessViolated struct {
		Process string `json:"process"`
	}
	AppStarted struct {
		Component string `json:"component"`
		Version   string `json:"version"`
		Reason    string `json:"reason"`
	}
	AppCrashed struct {
		Component string `json:"component"`
		Version   string `json:"version"`
		Reason    string `json:"reason"`
	}
)
