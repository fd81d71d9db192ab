package simulator

import (
	"context"
	"errors"
	"time"

	"github.com/consignwatch/consignwatch/simulator/stream"
)

// The faults of the infrastructure.
const (
	APIDown             = "api-down"
	APISlow             = "api-slow"
	PoolExhausted       = "pool-exhausted"
	SlowQueries         = "slow-queries"
	Deadlocks           = "deadlocks"
	DatabaseReadOnly    = "database-read-only"
	CacheDown           = "cache-down"
	CacheEvicting       = "cache-evicting"
	CertificateExpiring = "certificate-expiring"
	DiskFilling         = "disk-filling"
)

const (
	expiringIn = 5 * 24 * time.Hour
	filledTo   = 0.97
)

// Errors of fault switches, without the infrastructure.
var (
	ErrNoAPI         = errors.New("the platform has no API (Config.API, or --api-address)")
	ErrNoCertificate = errors.New("the API has no certificate: it speaks HTTP")
	ErrNoCache       = errors.New("the platform has no cache (Config.Cache, or --cache)")
	ErrNoCacheServer = errors.New("nobody said how to stop the cache (Config.CacheDown, or --cache-pid)")
	ErrNoDisk        = errors.New("the platform has no disk (Config.Disk, or --disk-dir)")
)

// notConfigured reports whether the error says that the fault's target is not configured.
func notConfigured(err error) bool {
	for _, is := range []error{ErrNoDatabase, ErrNoStream, ErrNoBroker, ErrNoAPI, ErrNoCertificate, ErrNoCache, ErrNoCacheServer, ErrNoDisk, ErrNoExternal} {
		if errors.Is(err, is) {
			return true
		}
	}
	return false
}

// infraFaults returns the faults of the infrastructure.
func (f *Faults) infraFaults() []Fault {
	p := f.p
	return []Fault{
		{Name: APIDown, Scope: everybody, on: on(f.crashAPI), off: off(f.restartAPI),
			Description: "The API has crashed: connections are refused.",
			Changes:     "Nothing; what people do through it fails. In the stream: a crash, and an error that the user sees for each visitor. Off: it starts."},
		{Name: APISlow, Scope: everybody, on: on(f.withAPI(func() { p.api.SlowRequests(true) })), off: off(f.withAPI(func() { p.api.SlowRequests(false) })),
			Description: "The API is slow.",
			Changes:     "Nothing; each request takes one to three seconds more."},
		{Name: PoolExhausted, Scope: everybody, on: on(f.startTask(PoolExhausted, p.exhaustPool, ErrNoAPI)), off: off(f.finishTask(PoolExhausted)),
			Description: "Connections to the database leak, until the API has none left.",
			Changes:     "Nothing; all connections of the API's pool are held. Requests wait for a second, and get status 503. Off releases them."},
		{Name: SlowQueries, Scope: everybody, on: on(f.withAPI(func() { p.api.SlowQueries(true) })), off: off(f.withAPI(func() { p.api.SlowQueries(false) })),
			Description: "The API's queries are slow on the server.",
			Changes:     "Nothing; each query takes 0.3 seconds more in sessions with long_query_time = 0.1."},
		{Name: Deadlocks, Scope: everybody, on: on(f.startTask(Deadlocks, p.deadlock, nil)), off: off(f.finishTask(Deadlocks)),
			Description: "Transactions of the database deadlock.",
			Changes:     "The table " + deadlockTable + ", in which two transactions end in a deadlock four times a second. Off drops it."},
		{Name: DatabaseReadOnly, Scope: everybody, on: on(f.startTask(DatabaseReadOnly, p.readOnly, nil)), off: off(f.finishTask(DatabaseReadOnly)),
			Description: "The database is read-only.",
			Changes:     "The server is read_only, and the platform writes as a user without the privilege to ignore it. The simulation waits. Off restores both."},
		{Name: CacheDown, Scope: everybody, on: on(f.stopCache(true)), off: off(f.stopCache(false)),
			Description: "The cache does not answer.",
			Changes:     "Nothing; Redis is stopped. The API asks the database instead. Off resumes it."},
		{Name: CacheEvicting, Scope: everybody, on: on(f.startTask(CacheEvicting, p.evict, ErrNoCache)), off: off(f.finishTask(CacheEvicting)),
			Description: "The cache has too little memory, and evicts keys that are still needed.",
			Changes:     "Nothing; Redis gets a low maxmemory, the policy allkeys-lru, and about 250 keys a second that fill it. Off restores both settings and deletes the keys."},
		{Name: CertificateExpiring, Scope: everybody, on: on(f.certificate(true)), off: off(f.certificate(false)),
			Description: "The API's certificate expires soon, and is not renewed.",
			Changes:     "Nothing; the certificate is replaced by one that expires in five days. Off: by a fresh one."},
		{Name: DiskFilling, Scope: everybody, on: on(f.startTask(DiskFilling, p.fillDisk, ErrNoDisk)), off: off(f.finishTask(DiskFilling)),
			Description: "The disk for images is nearly full.",
			Changes:     "Nothing; files fill the folder's quota to 97 % within seconds. Off deletes them."},
	}
}

// on and off make actions of faults that concern the whole platform.
func on(do func(context.Context) error) func(context.Context, []uint64) error {
	return func(ctx context.Context, _ []uint64) error { return do(ctx) }
}

func off(do func(context.Context) error) func(context.Context, []uint64, time.Time) error {
	return func(ctx context.Context, _ []uint64, _ time.Time) error { return do(ctx) }
}

// serverFaults are the faults that stop or change a server. Those that stop one come first: the other faults need the servers.
func serverFaults() []string {
	return []string{DatabaseDown, BrokerRestart, CacheDown, DatabaseReadOnly, CacheEvicting, Deadlocks, PoolExhausted, DiskFilling}
}

// startTask returns an action that starts a fault task. The error missing (ErrNoAPI, ErrNoCache, ErrNoDisk) names the infrastructure that
// the fault needs; nil: the database.
func (f *Faults) startTask(name string, run action, missing error) func(context.Context) error {
	return func(ctx context.Context) error {
		p := f.p
		if missing == ErrNoAPI && p.api == nil || missing == ErrNoCache && p.cache == nil || missing == ErrNoDisk && p.disk == nil {
			return missing
		}
		return p.faultTasks.start(ctx, name, run)
	}
}

func (f *Faults) finishTask(name string) func(context.Context) error {
	return func(ctx context.Context) error { return f.p.faultTasks.finish(ctx, name) }
}

func (f *Faults) withAPI(do func()) func(context.Context) error {
	return func(context.Context) error {
		if f.p.api == nil {
			return ErrNoAPI
		}
		do()
		return nil
	}
}

func (f *Faults) crashAPI(context.Context) error {
	if f.p.api == nil {
		return ErrNoAPI
	}
	if err := f.p.api.Down(); err != nil {
		return err
	}
	f.p.beginRequest().end(func(em *eventEmitter) {
		source{em, tenant{}, sourceURI("api", 0), ""}.emit(stream.AppCrashed{Component: "api", Version: version, Reason: "segmentation fault"})
	})
	return nil
}

func (f *Faults) restartAPI(context.Context) error {
	if err := f.p.api.Up(); err != nil {
		return err
	}
	f.p.beginRequest().end(func(em *eventEmitter) {
		source{em, tenant{}, sourceURI("api", 0), ""}.emit(stream.AppStarted{Component: "api", Version: version, Reason: "restart"})
	})
	return nil
}

func (f *Faults) certificate(expiring bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case f.p.api == nil:
			return ErrNoAPI
		case f.p.api.Authority() == nil:
			return ErrNoCertificate
		case expiring:
			return f.p.api.Authority().Expire(expiringIn)
		default:
			return f.p.api.Authority().Renew()
		}
	}
}

func (f *Faults) stopCache(stop bool) func(context.Context) error {
	return func(context.Context) error {
		switch {
		case f.p.config.Cache == "":
			return ErrNoCache
		case f.p.config.CacheDown == nil:
			return ErrNoCacheServer
		}
		return f.p.config.CacheDown(stop)
	}
}

// fillDisk fills the disk, and keeps it full.
func (p *Platform) fillDisk(on, _ context.Context, active func()) error {
	for on.Err() == nil {
		full, err := p.disk.Fill(filledTo)
		if err != nil {
			return errors.Join(err, p.disk.Clear())
		}
		pause := 25 * time.Millisecond
		if full {
			active()
			pause = time.Second
		}
		sleep(on, pause)
	}
	return p.disk.Clear()
}
