package emit

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/jobs"
	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/stream"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// The platform's background jobs: which there are, how long they take, whether they fail, and the events that report them.

// Attempts is how often a job is tried.
const Attempts = 3

const (
	retryAfter      = 250 * time.Millisecond
	attemptFailures = 0.01 // share of attempts that fail at random
	failingAttempts = 0.7  // share of attempts that fail while jobs-failing is on
	outcomeArg      = "outcome"
	TemplateArg     = "template"
	TopicArg        = "topic"
)

// openJobs opens the queues and their workers.
func openJobs(em *Emitter) (*jobs.Pool, error) {
	pool, err := jobs.Open(jobs.Config{
		Brokers: em.config.Brokers, Workers: instances("worker"), Backoff: em.Paced(retryAfter),
		Attempts: Attempts, Now: em.Now, Logger: em.Logger, Work: em.attemptJob, Report: em.EmitAttempt,
	})
	if err != nil {
		return nil, fmt.Errorf("platform: %w", err)
	}
	return pool, nil
}

// RunWorkers runs the workers until the context ends.
func (em *Emitter) RunWorkers(ctx context.Context) {
	if err := em.jobs.Run(ctx); err != nil {
		em.Logger.Error("platform: no worker processes jobs", "err", err)
	}
}

// PauseJobs lets the workers finish their jobs, and begin no other until ResumeJobs.
func (em *Emitter) PauseJobs(ctx context.Context) error { return em.jobs.Pause(ctx) }

// ResumeJobs lets the workers go on.
func (em *Emitter) ResumeJobs() { em.jobs.Resume() }

// State returns the state of the stream and of the jobs.
func (em *Emitter) State() (stream.State, jobs.State) { return em.publisher.State(), em.jobs.State() }

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

// Enqueue enqueues a job. Args are names and values in turn.
func (src Source) Enqueue(queue, task string, args ...string) {
	j := jobs.Job{Queue: queue, Task: task, Client: src.Slug, Args: map[string]string{}}
	for i := 0; i < len(args); i += 2 {
		j.Args[args[i]] = args[i+1]
	}
	if err := src.jobs.Enqueue(j); err != nil {
		src.Emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
}

var (
	errAttempt = errors.New("the attempt failed")
	errFormat  = errors.New("the format of the message is unknown")
)

// attemptJob is the work of an attempt (jobs.Config.Work).
func (em *Emitter) attemptJob(j jobs.Job) error {
	took, err := em.decideAttempt(j)
	if err == nil && j.Queue == jobs.Email {
		return em.external.Deliver(j)
	}
	time.Sleep(em.Paced(took))
	return err
}

// decideAttempt decides how long an attempt takes, and whether it fails.
func (em *Emitter) decideAttempt(j jobs.Job) (time.Duration, error) {
	client := TenantOf(em.Store, j.Client)
	em.mu.Lock()
	defer em.mu.Unlock()
	took := min(time.Duration(em.Jitter(attemptDuration(j.Queue, j.Task)))*time.Microsecond, time.Second)
	fails := em.randomFailure(attemptFailures)
	if em.faults.IsOn(faults.JobsFailing, client.ID) {
		fails = em.chance(failingAttempts)
	}
	switch {
	case j.Queue == jobs.Image && em.faults.IsOn(faults.DeadLetters, 0):
		return 0, fmt.Errorf("%s: %w: %w", j.Task, errFormat, jobs.ErrPoison)
	case j.Attempt > 1 && em.faults.IsOn(faults.RecoveriesFailing, 0), fails:
		return took, fmt.Errorf("%s: %w", j.Task, errAttempt)
	case j.Args[outcomeArg] == world.Failed: // its outcome is recorded already
		return took, fmt.Errorf("%s: %w", j.Task, jobs.ErrFinal)
	}
	return took, nil
}

// EmitAttempt emits the events of an attempt, and those that follow from it.
func (em *Emitter) EmitAttempt(f jobs.Finished) {
	client := TenantOf(em.Store, f.Client)
	em.mu.Lock()
	defer em.mu.Unlock()
	src := em.SourceOf(client, "worker", f.Worker)
	src.Emit(stream.JobFinished{
		Queue: f.Queue, Task: f.Task, Outcome: f.Outcome, Attempt: f.Attempt, Wait: stream.Seconds(f.Wait), Duration: stream.Seconds(f.Duration),
	})
	if f.Attempt > 1 {
		src.Emit(stream.RecoveryAttempted{Mechanism: "retry", Component: "worker", Outcome: OutcomeOf(f.Outcome == jobs.Succeeded)})
	}
	if f.Outcome == jobs.Dead {
		src.Emit(stream.ErrorRaised{Category: "system", Kind: "queue", Component: "worker"})
	}
	switch f.Queue {
	case jobs.Email:
		em.external.Delivered(src, f)
	case jobs.Image:
		if f.Outcome == jobs.Succeeded {
			src.SyntheticCall("storage", "object.put", "ok")
		}
	case jobs.Webhook:
		src.Emit(stream.WebhookProcessed{Provider: f.Task, Topic: f.Args[TopicArg], Outcome: f.Outcome, Duration: stream.Seconds(f.Duration)})
		em.external.Processed(src, f)
	}
}

// TenantOf returns a client by its slug. A client of an earlier run, which the platform does not know, has id 0.
func TenantOf(s *store.Store, slug string) Tenant {
	s.Memory.RLock()
	defer s.Memory.RUnlock()
	if c := s.Books.ClientBySlug(slug); c != nil {
		return Tenant{c.ID, slug}
	}
	return Tenant{0, slug}
}

// Actions of fault switches.

func (em *Emitter) stopWorkers(ctx context.Context, _ faults.Where) error {
	if em == nil {
		return faults.ErrNoStream
	}
	err := em.jobs.Stop(ctx)
	if err != nil {
		em.jobs.Start() // the fault is not on
	}
	return err
}

func (em *Emitter) startWorkers(context.Context, faults.Where) error {
	em.jobs.Start()
	return nil
}
