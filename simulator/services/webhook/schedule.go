package webhook

import (
	"strconv"
	"time"
)

// Schedule is a provider's timeouts and retries.
type Schedule struct {
	Connect time.Duration // timeout of a connection
	Timeout time.Duration // timeout of an attempt, connection included
	// Retries are the waits after failed attempts. After the last one the message is given up.
	Retries []time.Duration
}

// ShopifySchedule retries eight times over four hours, with waits that double. Shopify publishes the number and the four
// hours, not the waits.
func ShopifySchedule() Schedule {
	const (
		retries = 8
		span    = 4 * time.Hour
	)
	s := Schedule{Connect: time.Second, Timeout: 5 * time.Second}
	wait := (span / (1<<retries - 1)).Round(time.Second)
	for range retries {
		s.Retries = append(s.Retries, wait)
		wait *= 2
	}
	return s
}

// SvixSchedule is the schedule that Svix publishes.
func SvixSchedule() Schedule {
	return Schedule{Timeout: 15 * time.Second, Retries: []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour, 10 * time.Hour, 10 * time.Hour,
	}}
}

// MandrillSchedule is an assumption: Mandrill documents that failed batches are retried, and not when.
func MandrillSchedule() Schedule {
	return Schedule{Timeout: 30 * time.Second, Retries: []time.Duration{
		time.Minute, 5 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 4 * time.Hour,
	}}
}

func unixSeconds(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }
