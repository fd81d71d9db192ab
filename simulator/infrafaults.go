package simulator

import (
	"context"
	"errors"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

const (
	expiringIn = 5 * 24 * time.Hour
	filledTo   = 0.97
)

// Faults returns the faults of the infrastructure.
func (i *Infrastructure) Faults() []Fault {
	return []Fault{
		{Name: APIDown, Scope: everybody, On: Always(i.crashAPI), Off: Always(i.restartAPI),
			Description: "The API has crashed: connections are refused.",
			Changes:     "Nothing; what people do through it fails. In the stream: a crash, and an error that the user sees for each visitor. Off: it starts."},
		{Name: APISlow, Scope: everybody, On: Always(i.withAPI(func() { i.api.SlowRequests(true) })), Off: Always(i.withAPI(func() { i.api.SlowRequests(false) })),
			Description: "The API is slow.",
			Changes:     "Nothing; each request takes one to three seconds more."},
		{Name: PoolExhausted, Scope: everybody, On: Always(i.startTask(PoolExhausted, i.exhaustPool, ErrNoAPI)), Off: Always(i.finishTask(PoolExhausted)),
			Description: "Connections to the database leak, until the API has none left.",
			Changes:     "Nothing; all connections of the API's pool are held. Requests wait for a second, and get status 503. Off releases them."},
		{Name: SlowQueries, Scope: everybody, On: Always(i.withAPI(func() { i.api.SlowQueries(true) })), Off: Always(i.withAPI(func() { i.api.SlowQueries(false) })),
			Description: "The API's queries are slow on the server.",
			Changes:     "Nothing; each query takes 0.3 seconds more in sessions with long_query_time = 0.1."},
		{Name: Deadlocks, Scope: everybody, On: Always(i.startTask(Deadlocks, i.deadlock, nil)), Off: Always(i.finishTask(Deadlocks)),
			Description: "Transactions of the database deadlock.",
			Changes:     "The table " + deadlockTable + ", in which two transactions end in a deadlock four times a second. Off drops it."},
		{Name: DatabaseReadOnly, Scope: everybody, On: Always(i.startTask(DatabaseReadOnly, i.readOnly, nil)), Off: Always(i.finishTask(DatabaseReadOnly)),
			Description: "The database is read-only.",
			Changes:     "The server is read_only, and the platform writes as a user without the privilege to ignore it. The simulation waits. Off restores both."},
		{Name: CacheDown, Scope: everybody, On: Always(i.stopCache(true)), Off: Always(i.stopCache(false)),
			Description: "The cache does not answer.",
			Changes:     "Nothing; Redis is stopped. The API asks the database instead. Off resumes it."},
		{Name: CacheEvicting, Scope: everybody, On: Always(i.startTask(CacheEvicting, i.evict, ErrNoCache)), Off: Always(i.finishTask(CacheEvicting)),
			Description: "The cache has too little memory, and evicts keys that are still needed.",
			Changes:     "Nothing; Redis gets a low maxmemory, the policy allkeys-lru, and about 250 keys a second that fill it. Off restores both settings and deletes the keys."},
		{Name: CertificateExpiring, Scope: everybody, On: Always(i.certificate(true)), Off: Always(i.certificate(false)),
			Description: "The API's certificate expires soon, and is not renewed.",
			Changes:     "Nothing; the certificate is replaced by one that expires in five days. Off: by a fresh one."},
		{Name: DiskFilling, Scope: everybody, On: Always(i.startTask(DiskFilling, i.fillDisk, ErrNoDisk)), Off: Always(i.finishTask(DiskFilling)),
			Description: "The disk for images is nearly full.",
			Changes:     "Nothing; files fill the folder's quota to 97 % within seconds. Off deletes them."},
	}
}

// startTask returns an action that starts a fault task. The error missing (ErrNoAPI, ErrNoCache, ErrNoDisk) names the infrastructure that
// the fault needs; nil: the database.
func (i *Infrastructure) startTask(name string, run action, missing error) func(context.Context) error {
	return func(ctx context.Context) error {
		if missing == ErrNoAPI && i.api == nil || missing == ErrNoCache && i.cache == nil || missing == ErrNoDisk && i.disk == nil {
			return missing
		}
		return i.tasks.start(ctx, name, run)
	}
}

func (i *Infrastructure) finishTask(name string) func(context.Context) error {
	return func(ctx context.Context) error { return i.tasks.finish(ctx, name) }
}

func (i *Infrastructure) withAPI(do func()) func(context.Context) error {
	return func(context.Context) error {
		if i.api == nil {
			return ErrNoAPI
		}
		do()
		return nil
	}
}

func (i *Infrastructure) crashAPI(context.Context) error {
	if i.api == nil {
		return ErrNoAPI
	}
	if err := i.api.Down(); err != nil {
		return err
	}
	i.emitOfAPI(stream.AppCrashed{Component: "api", Version: version, Reason: "segmentation fault"})
	return nil
}

func (i *Infrastructure) restartAPI(context.Context) error {
	if err := i.api.Up(); err != nil {
		return err
	}
	i.emitOfAPI(stream.AppStarted{Component: "api", Version: version, Reason: "restart"})
	return nil
}

func (i *Infrastructure) emitOfAPI(d stream.Data) {
	i.inflight.emit(func(em *Emitter) { em.sourceOf(tenant{}, "api", 0).emit(d) })
}

func (i *Infrastructure) certificate(expiring bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case i.api == nil:
			return ErrNoAPI
		case i.api.Authority() == nil:
			return ErrNoCertificate
		case expiring:
			return i.api.Authority().Expire(expiringIn)
		default:
			return i.api.Authority().Renew()
		}
	}
}

func (i *Infrastructure) stopCache(stop bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case i.config.Cache == "":
			return ErrNoCache
		case i.config.CacheDown == nil:
			return ErrNoCacheServer
		}
		return i.config.CacheDown(stop)
	}
}

// fillDisk fills the disk, and keeps it full.
func (i *Infrastructure) fillDisk(on, _ context.Context, active func()) error {
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
		sleep(on, pause)
	}
	return i.disk.Clear()
}
