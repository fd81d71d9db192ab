// Package jobs is the platform's background work: queues in Kafka, workers that form a consumer group, retries, and dead letters. It
// counts all jobs exactly. What a job does, and who reads the reports, is decided by its user.
//
// A job is done at least once. Its record is committed when the job has succeeded, or failed for good, or when the next attempt or the
// dead letter is written. A record that is consumed again, after a rebalance or a restart of the broker, is recognised as long as the
// process lives: no attempt is made twice.
package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

// The queues.
const (
	Email   = "email"
	Image   = "image"
	Report  = "report"
	Sync    = "sync"
	Webhook = "webhook"
)

// Outcomes of an attempt.
const (
	Succeeded = "succeeded"
	Failed    = "failed"  // and is not retried
	Retried   = "retried" // failed, and published again
	Dead      = "dead"    // failed for the last time
)

const (
	// Group is the consumer group of the workers.
	Group = "platform-workers"
	// DeadTopic is the topic of the dead letters of all queues.
	DeadTopic = "jobs.dead"

	// QueueHeader of a dead letter is its queue, and ReasonHeader its last error.
	QueueHeader  = "queue"
	ReasonHeader = "reason"

	topicPrefix = "jobs."

	jobsKept        = 6 * time.Hour
	deadLettersKept = time.Hour
)

// Queues returns the names of all queues.
func Queues() []string { return []string{Email, Image, Report, Sync, Webhook} }

// Topics returns the topics, DeadTopic included, with their numbers of partitions.
func Topics() map[string]int32 {
	topics := map[string]int32{DeadTopic: 1}
	for _, queue := range Queues() {
		topics[topicOf(queue)] = 2
	}
	return topics
}

// TopicConfigs returns the configuration of the topics: their retention.
func TopicConfigs() map[string]map[string]string {
	configs := map[string]map[string]string{}
	for topic := range Topics() {
		kept := jobsKept
		if topic == DeadTopic {
			kept = deadLettersKept
		}
		configs[topic] = map[string]string{"retention.ms": fmt.Sprint(kept.Milliseconds())}
	}
	return configs
}

func topicOf(queue string) string { return topicPrefix + queue }

func queueOf(topic string) string { return strings.TrimPrefix(topic, topicPrefix) }

// Job is a job in a queue, or in a worker's hands.
type Job struct {
	Queue string `json:"-"`
	ID    string `json:"id"`
	Task  string `json:"task"`
	// Client is the slug of the client, and the record's key; "": the platform's own job.
	Client string `json:"client,omitempty"`
	// EnqueuedAt is when it was enqueued, for the first attempt.
	EnqueuedAt time.Time `json:"enqueued_at"`
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// Args are the arguments of the task.
	Args map[string]string `json:"args,omitempty"`

	value []byte // of the record
}

// platformKey is the key of jobs without a client.
const platformKey = "_platform"

// unreadable is the task of a record that is not a job.
const unreadable = "unreadable"

func (j *Job) record(now time.Time) (*kgo.Record, error) {
	value, err := json.Marshal(j)
	if err != nil {
		return nil, fmt.Errorf("jobs: %s %s: %w", j.Queue, j.Task, err)
	}
	return &kgo.Record{Topic: topicOf(j.Queue), Key: j.key(), Value: value, Timestamp: now}, nil
}

func (j *Job) key() []byte {
	if j.Client == "" {
		return []byte(platformKey)
	}
	return []byte(j.Client)
}

func (j *Job) deadLetter(reason error, now time.Time) *kgo.Record {
	return &kgo.Record{Topic: DeadTopic, Key: j.key(), Value: j.value, Timestamp: now, Headers: []kgo.RecordHeader{
		{Key: QueueHeader, Value: []byte(j.Queue)}, {Key: ReasonHeader, Value: []byte(reason.Error())},
	}}
}

var errUnreadable = errors.New("it is no job")

// parseJob returns the job of a record. If the record is not a job, it returns a stand-in and an error that wraps ErrPoison.
func parseJob(r *kgo.Record) (*Job, error) {
	j := &Job{}
	err := json.Unmarshal(r.Value, j)
	if err == nil && (j.ID == "" || j.Task == "" || j.Attempt < 1) {
		err = errUnreadable
	}
	if err != nil {
		j = &Job{ID: fmt.Sprintf("%s-%d-%d", r.Topic, r.Partition, r.Offset), Task: unreadable, EnqueuedAt: r.Timestamp, Attempt: 1}
		err = fmt.Errorf("%w: %w", ErrPoison, err)
	}
	j.Queue, j.value = queueOf(r.Topic), slices.Clone(r.Value)
	return j, err
}
