package simulator

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

// The platform's background jobs: which there are, how long they take, whether they fail, and the events that report them.

// Topics returns all topics of the platform with their numbers of partitions. jobs.TopicConfigs returns the configuration of the jobs'
// topics.
func Topics() map[string]int32 {
	topics := stream.Topics()
	maps.Copy(topics, jobs.Topics())
	return topics
}

const (
	retryAfter      = 250 * time.Millisecond
	attemptFailures = 0.01 // share of attempts that fail at random
	failingAttempts = 0.7  // share of attempts that fail while jobs-failing is on
	usualSpeed      = 60.0 // above it, jobs take less time, too
	outcomeArg      = "outcome"
	templateArg     = "template"
	topicArg        = "topic"
)

// openJobs opens the queues and their workers.
func openJobs(em *eventEmitter) (*jobs.Pool, error) {
	pool, err := jobs.Open(jobs.Config{
		Brokers: em.p.config.Stream, Workers: instances("worker"), Backoff: em.p.paced(retryAfter),
		Attempts: attempts, Now: em.p.now, Logger: em.p.config.Logger, Work: em.attemptJob, Report: em.emitAttempt,
	})
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	return pool, nil
}

// runWorkers runs the workers until the context ends.
func (em *eventEmitter) runWorkers(ctx context.Context) {
	if err := em.jobs.Run(ctx); err != nil {
		em.p.config.Logger.Error("platform: nobody works at the jobs", "err", err)
	}
}

func (p *Platform) resumeJobs() {
	if p.emitter != nil {
		p.emitter.jobs.Resume()
	}
}

// paced returns the duration of background work. It is not longer when days are long, because people wait for it.
func (p *Platform) paced(d time.Duration) time.Duration {
	return time.Duration(float64(d) * min(usualSpeed/p.config.Speed, 1))
}

// attemptDuration returns about how long an attempt takes.
func attemptDuration(queue, task string) time.Duration {
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

// enqueue enqueues a job. Args are names and values in turn.
func (src source) enqueue(queue, task string, args ...string) {
	j := jobs.Job{Queue: queue, Task: task, Client: src.slug, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		j.Args[args[i]] = args[i+1]
	}
	if err := src.jobs.Enqueue(j); err != nil {
		src.emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
}

var (
	errAttempt = errors.New("the attempt failed")
	errFormat  = errors.New("the format of the message is unknown")
)

// attemptJob is the work of an attempt (jobs.Config.Work).
func (em *eventEmitter) attemptJob(j jobs.Job) error {
	took, err := em.decideAttempt(j)
	if err == nil && j.Queue == jobs.Email {
		return em.p.external.send(j)
	}
	time.Sleep(em.p.paced(took))
	return err
}

// decideAttempt decides how long an attempt takes, and whether it fails.
func (em *eventEmitter) decideAttempt(j jobs.Job) (time.Duration, error) {
	client := em.p.tenantOf(j.Client)
	em.mu.Lock()
	defer em.mu.Unlock()
	took := min(time.Duration(em.jitter(attemptDuration(j.Queue, j.Task)))*time.Microsecond, time.Second)
	fails := em.randomFailure(attemptFailures)
	if em.p.faults.isOn(JobsFailing, client.id) {
		fails = em.chance(failingAttempts)
	}
	switch {
	case j.Queue == jobs.Image && em.p.faults.isOn(DeadLetters, 0):
		return 0, fmt.Errorf("%s: %w: %w", j.Task, errFormat, jobs.ErrPoison)
	case j.Attempt > 1 && em.p.faults.isOn(RecoveriesFailing, 0), fails:
		return took, fmt.Errorf("%s: %w", j.Task, errAttempt)
	case j.Args[outcomeArg] == Failed: // its outcome is recorded already
		return took, fmt.Errorf("%s: %w", j.Task, jobs.ErrFinal)
	}
	return took, nil
}

// emitAttempt emits the events of an attempt, and those that follow from it.
func (em *eventEmitter) emitAttempt(f jobs.Finished) {
	client := em.p.tenantOf(f.Client)
	em.mu.Lock()
	defer em.mu.Unlock()
	src := source{em, client, sourceURI("worker", f.Worker), ""}
	src.emit(stream.JobFinished{
		Queue: f.Queue, Task: f.Task, Outcome: f.Outcome, Attempt: f.Attempt, Wait: stream.Seconds(f.Wait), Duration: stream.Seconds(f.Duration),
	})
	if f.Attempt > 1 {
		src.emit(stream.RecoveryAttempted{Mechanism: "retry", Component: "worker", Outcome: outcomeOf(f.Outcome == jobs.Succeeded)})
	}
	if f.Outcome == jobs.Dead {
		src.emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
	switch f.Queue {
	case jobs.Email:
		src.sendResult(f)
	case jobs.Image:
		if f.Outcome == jobs.Succeeded {
			src.syntheticCall("storage", "object.put", "ok")
		}
	case jobs.Webhook:
		src.emit(stream.WebhookProcessed{Provider: f.Task, Topic: f.Args[topicArg], Outcome: f.Outcome, Duration: stream.Seconds(f.Duration)})
		src.orderImported(f)
	}
}

// tenantOf returns a client by its slug. A client of an earlier run, which the platform does not know, has id 0.
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

// Actions of fault switches.

func (f *Faults) stopWorkers(ctx context.Context, _ []uint64) error {
	if f.p.emitter == nil {
		return ErrNoStream
	}
	err := f.p.emitter.jobs.Stop(ctx)
	if err != nil {
		f.p.emitter.jobs.Start() // the fault is not on
	}
	return err
}

func (f *Faults) startWorkers(context.Context, []uint64, time.Time) error {
	f.p.emitter.jobs.Start()
	return nil
}
