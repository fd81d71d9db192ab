package infra

import (
	"context"
	"errors"
	"time"

	"github.com/consignwatch/consignwatch/simulator/emit"
	"github.com/consignwatch/consignwatch/simulator/faults"
	"github.com/consignwatch/consignwatch/simulator/stream"
)

const (
	expiringIn = 5 * 24 * time.Hour
	filledTo   = 0.97
)

// Faults returns the faults of the infrastructure.
func (i *Infra) Faults() []faults.Fault {
	return []faults.Fault{
		{Name: faults.APIDown, Scope: faults.Everybody, On: faults.Always(i.crashAPI), Off: faults.Always(i.restartAPI),
			Description: "The API has crashed: connections are refused.",
			Changes:     "Nothing; what people do through it fails. In the stream: a crash, and an error that the user sees for each visitor. Off: it starts."},
		{Name: faults.APISlow, Scope: faults.Everybody, On: faults.Always(i.withAPI(func() { i.api.SlowRequests(true) })), Off: faults.Always(i.withAPI(func() { i.api.SlowRequests(false) })),
			Description: "The API is slow.",
			Changes:     "Nothing; each request takes one to three seconds more."},
		{Name: faults.PoolExhausted, Scope: faults.Everybody, On: faults.Always(i.startTask(faults.PoolExhausted, i.exhaustPool, faults.ErrNoAPI)), Off: faults.Always(i.finishTask(faults.PoolExhausted)),
			Description: "Connections to the database leak, until the API has none left.",
			Changes:     "Nothing; all connections of the API's pool are held. Requests wait for a second, and get status 503. Off releases them."},
		{Name: faults.SlowQueries, Scope: faults.Everybody, On: faults.Always(i.withAPI(func() { i.api.SlowQueries(true) })), Off: faults.Always(i.withAPI(func() { i.api.SlowQueries(false) })),
			Description: "The API's queries are slow on the server.",
			Changes:     "Nothing; each query takes 0.3 seconds more in sessions with long_query_time = 0.1."},
		{Name: faults.Deadlocks, Scope: faults.Everybody, On: faults.Always(i.startTask(faults.Deadlocks, i.deadlock, nil)), Off: faults.Always(i.finishTask(faults.Deadlocks)),
			Description: "Transactions of the database deadlock.",
			Changes:     "The table " + deadlockTable + ", in which two transactions end in a deadlock four times a second. Off drops it."},
		{Name: faults.DatabaseReadOnly, Scope: faults.Everybody, On: faults.Always(i.startTask(faults.DatabaseReadOnly, i.readOnly, nil)), Off: faults.Always(i.finishTask(faults.DatabaseReadOnly)),
			Description: "The database is read-only.",
			Changes:     "The server is read_only, and the platform writes as a user without the privilege to ignore it. The simulation waits. Off restores both."},
		{Name: faults.CacheDown, Scope: faults.Everybody, On: faults.Always(i.stopCache(true)), Off: faults.Always(i.stopCache(false)),
			Description: "The cache does not answer.",
			Changes:     "Nothing; Redis is stopped. The API asks the database instead. Off resumes it."},
		{Name: faults.CacheEvicting, Scope: faults.Everybody, On: faults.Always(i.startTask(faults.CacheEvicting, i.evict, faults.ErrNoCache)), Off: faults.Always(i.finishTask(faults.CacheEvicting)),
			Description: "The cache has too little memory, and evicts keys that are still needed.",
			Changes:     "Nothing; Redis gets a low maxmemory, the policy allkeys-lru, and about 250 keys a second that fill it. Off restores both settings and deletes the keys."},
		{Name: faults.CertificateExpiring, Scope: faults.Everybody, On: faults.Always(i.certificate(true)), Off: faults.Always(i.certificate(false)),
			Description: "The API's certificate expires soon, and is not renewed.",
			Changes:     "Nothing; the certificate is replaced by one that expires in five days. Off: by a fresh one."},
		{Name: faults.DiskFilling, Scope: faults.Everybody, On: faults.Always(i.startTask(faults.DiskFilling, i.fillDisk, faults.ErrNoDisk)), Off: faults.Always(i.finishTask(faults.DiskFilling)),
			Description: "The disk for images is nearly full.",
			Changes:     "Nothing; files fill the folder's quota to 97 % within seconds. Off deletes them."},
	}
}

// startTask returns an action that starts a fault task. The error missing (ErrNoAPI, ErrNoCache, ErrNoDisk) names the infrastructure that
// the fault needs; nil: the database.
func (i *Infra) startTask(name string, run faults.TaskFunc, missing error) func(context.Context) error {
	return func(ctx context.Context) error {
		if missing == faults.ErrNoAPI && i.api == nil || missing == faults.ErrNoCache && i.cache == nil || missing == faults.ErrNoDisk && i.disk == nil {
			return missing
		}
		return i.tasks.Start(ctx, name, run)
	}
}

func (i *Infra) finishTask(name string) func(context.Context) error {
	return func(ctx context.Context) error { return i.tasks.Finish(ctx, name) }
}

func (i *Infra) withAPI(do func()) func(context.Context) error {
	return func(context.Context) error {
		if i.api == nil {
			return faults.ErrNoAPI
		}
		do()
		return nil
	}
}

func (i *Infra) crashAPI(context.Context) error {
	if i.api == nil {
		return faults.ErrNoAPI
	}
	if err := i.api.Down(); err != nil {
		return err
	}
	i.emitOfAPI(stream.AppCrashed{Component: "api", Version: emit.Version, Reason: "segmentation fault"})
	return nil
}

func (i *Infra) restartAPI(context.Context) error {
	if err := i.api.Up(); err != nil {
		return err
	}
	i.emitOfAPI(stream.AppStarted{Component: "api", Version: emit.Version, Reason: "restart"})
	return nil
}

func (i *Infra) emitOfAPI(d stream.Data) {
	i.inflight.Emit(func(em *emit.Emitter) { em.SourceOf(emit.Tenant{}, "api", 0).Emit(d) })
}

func (i *Infra) certificate(expiring bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case i.api == nil:
			return faults.ErrNoAPI
		case i.api.Authority() == nil:
			return faults.ErrNoCertificate
		case expiring:
			return i.api.Authority().Expire(expiringIn)
		default:
			return i.api.Authority().Renew()
		}
	}
}

func (i *Infra) stopCache(stop bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case i.config.Cache == "":
			return faults.ErrNoCache
		case i.config.CacheDown == nil:
			return faults.ErrNoCacheServer
		}
		return i.config.CacheDown(stop)
	}
}

// fillDisk fills the disk, and keeps it full.
func (i *Infra) fillDisk(on, _ context.Context, active func()) error {
	for on.Err() == nil {
		full, err := i.disk.Fill(filledTo)
		if err != nil {
			return errors.Join(err, i.disk.Clear())
		}
		pause := 25 * time.Millisecond
		if full {
			active()
			pause = time.Second
		}
		faults.Sleep(on, pause)
	}
	return i.disk.Clear()
}
