// Package jobs is the platform's background work: queues in Kafka, workers that form a consumer group, attempts that are
// repeated, and dead letters. It keeps exact books of all jobs. What a job does, and who hears of it, is not its business.
//
// A job is done at least once. Its record is committed when it has succeeded, or failed for good, or when the next attempt
// or the dead letter is written. A record that comes again, after a rebalance or a restart of the broker, is
// recognised as long as the process lives: no attempt is made twice.
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
	Failed    = "failed"  // and nobody tries again
	Retried   = "retried" // failed, and published again
	Dead      = "dead"    // failed for the last time
)

const (
	// Group is the consumer group of the workers.
	Group = "platform-workers"
	// DeadTopic is where dead letters go, whatever queue they come from.
	DeadTopic = "jobs.dead"

	// QueueHeader of a dead letter is the queue that it came from, and ReasonHeader says why it is dead.
	QueueHeader  = "queue"
	ReasonHeader = "reason"

	topicPrefix = "jobs."

	jobsKept        = 6 * time.Hour
	deadLettersKept = time.Hour
)

// Queues returns the names of all queues.
func Queues() []string { return []string{Email, Image, Report, Sync, Webhook} }

// Topics returns the topics, with the dead letters', and the number of their partitions.
func Topics() map[string]int32 {
	topics := map[string]int32{DeadTopic: 1}
	for _, queue := range Queues() {
		topics[topicOf(queue)] = 2
	}
	return topics
}

// TopicConfigs returns how the topics are to be configured: how long they keep what nobody reads.
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

// Job is one that waits in a queue, or that somebody works at.
type Job struct {
	Queue string `json:"-"`
	ID    string `json:"id"`
	Task  string `json:"task"`
	// Client is the slug of the client that it is done for, and the record's key; "": the platform's own.
	Client string `json:"client,omitempty"`
	// EnqueuedAt is when it was enqueued, for the first attempt.
	EnqueuedAt time.Time `json:"enqueued_at"`
	// Attempt counts from 1.
	Attempt int `json:"attempt"`
	// Args are what the task needs to know.
	Args map[string]string `json:"args,omitempty"`

	value []byte // as it stands in the queue
}

// nobody is the key of jobs that are done for no client.
const nobody = "_platform"

// unreadable is the task of a record that is no job.
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
		return []byte(nobody)
	}
	return []byte(j.Client)
}

func (j *Job) deadLetter(reason error, now time.Time) *kgo.Record {
	return &kgo.Record{Topic: DeadTopic, Key: j.key(), Value: j.value, Timestamp: now, Headers: []kgo.RecordHeader{
		{Key: QueueHeader, Value: []byte(j.Queue)}, {Key: ReasonHeader, Value: []byte(reason.Error())},
	}}
}

var errUnreadable = errors.New("it is no job")

// read returns the job of a record. With an error, which is poison, the job stands for a record that is none.
func read(r *kgo.Record) (*Job, error) {
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
