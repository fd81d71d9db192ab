package platform

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/consignwatch/consignwatch/pkg/platform/jobs"
	"github.com/consignwatch/consignwatch/pkg/platform/stream"
)

// What the platform does in the background: which jobs there are, how they go, and what is told of them.

// Topics returns all topics that the platform needs, with the number of their partitions. jobs.TopicConfigs says how those
// of the jobs are to be configured.
func Topics() map[string]int32 {
	topics := stream.Topics()
	maps.Copy(topics, jobs.Topics())
	return topics
}

const (
	retryAfter   = 250 * time.Millisecond
	hiccups      = 0.01 // share of attempts that fail in normal life
	failingShare = 0.7  // the same, while jobs-failing is on
	usualSpeed   = 60.0 // above it, jobs are faster, too
	outcomeArg   = "outcome"
	templateArg  = "template"
	topicArg     = "topic"
)

// openJobs makes the queues and their workers.
func openJobs(t *teller) (*jobs.Pool, error) {
	pool, err := jobs.Open(jobs.Config{
		Brokers: t.p.config.Stream, Workers: instancesOf("worker"), Backoff: t.p.paced(retryAfter),
		Attempts: attempts, Now: t.p.now, Logger: t.p.config.Logger, Work: t.attempt, Report: t.finished,
	})
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	return pool, nil
}

// work lets the workers work until the context ends.
func (t *teller) work(ctx context.Context) {
	if err := t.jobs.Run(ctx); err != nil {
		t.p.config.Logger.Error("platform: nobody works at the jobs", "err", err)
	}
}

func (p *Platform) resumeJobs() {
	if p.teller != nil {
		p.teller.jobs.Resume()
	}
}

// paced returns how long background work takes: people wait for it, so that it is not slower when days are long.
func (p *Platform) paced(d time.Duration) time.Duration {
	return time.Duration(float64(d) * min(usualSpeed/p.config.Speed, 1))
}

// laborOf returns about how long an attempt takes.
func laborOf(queue, task string) time.Duration {
	switch {
	case queue == jobs.Report && task == "reconciliation":
		return 800 * time.Millisecond
	case queue == jobs.Report:
		return 400 * time.Millisecond
	case queue == jobs.Sync:
		return 300 * time.Millisecond
	case queue == jobs.Image:
		return 150 * time.Millisecond
	case queue == jobs.Email:
		return 80 * time.Millisecond
	default:
		return 40 * time.Millisecond
	}
}

// enqueue puts a job into its queue. Args are names and values in turn.
func (v voice) enqueue(queue, task string, args ...string) {
	j := jobs.Job{Queue: queue, Task: task, Client: v.slug, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		j.Args[args[i]] = args[i+1]
	}
	if err := v.jobs.Enqueue(j); err != nil {
		v.say(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
}

var (
	errHiccup = errors.New("the attempt failed")
	errFormat = errors.New("the format of the message is unknown")
)

// attempt works at a job.
func (t *teller) attempt(j jobs.Job) error {
	took, err := t.cast(j)
	if err == nil && j.Queue == jobs.Email && t.p.outside != nil {
		return t.p.outside.send(j)
	}
	time.Sleep(t.p.paced(took))
	return err
}

// cast decides how an attempt goes.
func (t *teller) cast(j jobs.Job) (time.Duration, error) {
	client := t.p.tenantOf(j.Client)
	t.mu.Lock()
	defer t.mu.Unlock()
	took := min(time.Duration(t.about(laborOf(j.Queue, j.Task)))*time.Microsecond, time.Second)
	fails := t.mishap(hiccups)
	if t.p.faults.isOn(JobsFailing, client.id) {
		fails = t.chance(failingShare)
	}
	switch {
	case j.Queue == jobs.Image && t.p.faults.isOn(DeadLetters, 0):
		return 0, fmt.Errorf("%s: %w: %w", j.Task, errFormat, jobs.ErrPoison)
	case j.Attempt > 1 && t.p.faults.isOn(RecoveriesFailing, 0), fails:
		return took, fmt.Errorf("%s: %w", j.Task, errHiccup)
	case j.Args[outcomeArg] == Failed: // it was recorded so
		return took, fmt.Errorf("%s: %w", j.Task, jobs.ErrFinal)
	}
	return took, nil
}

// finished tells of an attempt, and of what follows from it.
func (t *teller) finished(f jobs.Finished) {
	client := t.p.tenantOf(f.Client)
	t.mu.Lock()
	defer t.mu.Unlock()
	v := voice{t, client, sourceOf("worker", f.Worker), ""}
	v.say(stream.JobFinished{
		Queue: f.Queue, Task: f.Task, Outcome: f.Outcome, Attempt: f.Attempt, Wait: stream.Seconds(f.Wait), Duration: stream.Seconds(f.Duration),
	})
	if f.Attempt > 1 {
		v.say(stream.RecoveryAttempted{Mechanism: "retry", Component: "worker", Outcome: outcomeOf(f.Outcome == jobs.Succeeded)})
	}
	if f.Outcome == jobs.Dead {
		v.say(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
	switch f.Queue {
	case jobs.Email:
		if t.p.outside != nil {
			v.sending(f)
		} else {
			v.mailed(f)
		}
	case jobs.Image:
		if f.Outcome == jobs.Succeeded {
			v.call("storage", "object.put", "ok")
		}
	case jobs.Webhook:
		v.say(stream.WebhookProcessed{Provider: f.Task, Topic: f.Args[topicArg], Outcome: f.Outcome, Duration: stream.Seconds(f.Duration)})
		v.imported(f)
	}
}

// mailed goes on with a mail.
func (v voice) mailed(f jobs.Finished) {
	if f.Outcome != jobs.Succeeded {
		v.call("mandrill", "messages.send", "error")
		return
	}
	v.call("mandrill", "messages.send", "ok")
	v.accepted(f.Args[templateArg], stream.Seconds(v.p.now().Sub(f.EnqueuedAt)))
}

// tenantOf returns a client by its slug; one that the platform does not know, of an earlier run, has no id.
func (p *Platform) tenantOf(slug string) tenant {
	if slug == "" {
		return tenant{}
	}
	p.mu.RLock()
	defer p.mu.RUnlock()
	for i := range p.books.Clients {
		if c := &p.books.Clients[i]; c.Slug == slug {
			return tenant{c.ID, slug}
		}
	}
	return tenant{0, slug}
}

// Actions of the switches.

func (f *Faults) stopWorkers(ctx context.Context, _ []uint64) error {
	if f.p.teller == nil {
		return ErrNoStream
	}
	err := f.p.teller.jobs.Stop(ctx)
	if err != nil {
		f.p.teller.jobs.Start() // the fault is not on
	}
	return err
}

func (f *Faults) startWorkers(context.Context, []uint64, time.Time) error {
	f.p.teller.jobs.Start()
	return nil
}
