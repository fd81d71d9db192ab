// Package faults holds the switches of the faults: which there are, where each is on, and the tasks that keep a server broken. What a fault
// breaks is decided by the rooms that register it.
package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/consignwatch/consignwatch/simulator/store"
	"github.com/consignwatch/consignwatch/simulator/violations"
	"github.com/consignwatch/consignwatch/simulator/world"
)

// Scopes of a fault.
const (
	oneClient = "one client" // without a name: the first client with a suitable sale event
	Clients   = "clients"    // without a name: all clients
	Everybody = "platform"   // takes no client
)

// Fault is a fault that can be switched on while the simulator runs.
type Fault struct {
	Name        string `json:"name"`
	Scope       string `json:"scope"` // "one client", "clients" or "platform"
	Description string `json:"description"`
	Changes     string `json:"changes"` // in the database, or in the stream

	// Check is an integrity check of which a violation is injected.
	Check string `json:"-"`
	// Touches: some prices change immediately, so that there is something to sync.
	Touches bool `json:"-"`
	// On and Off break something and repair it; nil: nothing to do.
	On, Off Action `json:"-"`
	// AfterOff runs after the fault was switched off somewhere.
	AfterOff func() `json:"-"`
}

// Action is what a fault does when it is switched on or off.
type Action func(context.Context, Where) error

// Where is where a fault is on, and since when.
type Where struct {
	Clients []uint64 // active ones
	Since   time.Time
}

// NotConfigured is the error of a fault that breaks what the platform does not have.
type NotConfigured string

func (e NotConfigured) Error() string { return string(e) }

// Errors of fault switches.
const (
	ErrNoDatabase    = NotConfigured("nobody said how to stop the database (Config.DatabaseDown, or --database-pid)")
	ErrNoStream      = NotConfigured("the platform publishes no events (Config.Stream, or --kafka-listen)")
	ErrNoBroker      = NotConfigured("nobody said how to stop the broker (Config.BrokerDown, or --kafka-listen)")
	ErrNoAPI         = NotConfigured("the platform has no API (Config.API, or --api-address)")
	ErrNoCertificate = NotConfigured("the API has no certificate: it speaks HTTP")
	ErrNoCache       = NotConfigured("the platform has no cache (Config.Cache, or --cache)")
	ErrNoCacheServer = NotConfigured("nobody said how to stop the cache (Config.CacheDown, or --cache-pid)")
	ErrNoDisk        = NotConfigured("the platform has no disk (Config.Disk, or --disk-dir)")
	ErrNoExternal    = NotConfigured("there are no external services (Config.ExternalServices, or --external-services-address)")
)

// Errors of fault switches.
var (
	ErrUnknownFault = errors.New("unknown fault")
	ErrScope        = errors.New("it concerns the platform and takes no client")
	ErrOnForAll     = errors.New("it is on for all clients: switch it off for all")
)

// Always makes an action that does not depend on where the fault is on.
func Always(do func(context.Context) error) Action {
	return func(ctx context.Context, _ Where) error { return do(ctx) }
}

// Switches are the fault switches. A fault that is on for a client can be switched off for that client, or for all.
type Switches struct {
	store *store.Store
	all   []Fault

	// A lock for each fault: an injection that waits for the database must not keep anybody from switching database-down off.
	switching map[string]*sync.Mutex

	mu     sync.RWMutex
	states map[string][]*faultState
}

// faultState is where a fault is on.
type faultState struct {
	client   uint64 // 0: all clients, or the platform
	since    time.Time
	injected []world.Row
}

// NewSwitches makes switches without faults.
func NewSwitches(s *store.Store) *Switches {
	return &Switches{store: s, switching: map[string]*sync.Mutex{}, states: map[string][]*faultState{}}
}

// Register adds faults, in the order in which they are listed. It is called before anything is switched.
func (f *Switches) Register(all ...Fault) {
	f.all = append(f.all, all...)
	for _, fault := range all {
		f.switching[fault.Name] = new(sync.Mutex)
	}
}

// State is a fault with its state.
type State struct {
	Fault
	On      bool     `json:"on"`
	Clients []string `json:"clients,omitempty"` // slugs, if it is on for some clients only
}

// List returns every fault with its state.
func (f *Switches) List() []State {
	slugs := map[uint64]string{}
	for _, c := range f.store.ClientList() {
		slugs[c.ID] = c.Slug
	}
	f.mu.RLock()
	defer f.mu.RUnlock()
	var list []State
	for _, fault := range f.all {
		s := State{Fault: fault, On: len(f.states[fault.Name]) > 0}
		for _, on := range f.states[fault.Name] {
			if on.client != 0 {
				s.Clients = append(s.Clients, slugs[on.client])
			}
		}
		list = append(list, s)
	}
	return list
}

// Names returns the names of all faults.
func (f *Switches) Names() []string {
	var names []string
	for _, fault := range f.all {
		names = append(names, fault.Name)
	}
	return names
}

// IsOn reports whether a fault is on for a client.
func (f *Switches) IsOn(name string, client uint64) bool {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.ContainsFunc(f.states[name], func(s *faultState) bool { return s.client == 0 || s.client == client })
}

// On switches a fault on. The fault's Scope says what client "" means. A fault that is on already stays as it is.
func (f *Switches) On(ctx context.Context, name, client string) error {
	fault, id, err := f.find(name, client)
	if err != nil {
		return err
	}
	f.switching[name].Lock()
	defer f.switching[name].Unlock()
	if f.IsOn(name, id) || fault.Scope == oneClient && id == 0 && f.Any(name) {
		return nil
	}
	state := &faultState{client: id, since: f.store.Now()}
	if fault.Check != "" {
		state.client, state.injected, err = violations.Inject(ctx, f.store, fault.Check, id, 1)
		if errors.Is(err, store.ErrOutcomeUnknown) { // the rows will be there, and have to be removed
			f.set(name, append(slices.Clone(f.statesOf(name)), state))
		}
		if err != nil {
			return fmt.Errorf("fault %s: %w", name, err)
		}
	}
	// State before action, so that life does not work against the fault; off again if the action fails.
	f.set(name, append(slices.Clone(f.statesOf(name)), state))
	if fault.On != nil {
		err = fault.On(ctx, f.where(state))
	}
	if fault.Touches && err == nil {
		err = f.touchItems(ctx, f.where(state))
	}
	if err != nil {
		f.drop(name, state)
		return fmt.Errorf("fault %s: %w", name, err)
	}
	f.store.Logger.Info("platform: fault on", "fault", name, "client", client)
	return nil
}

// Off switches a fault off and repairs what it changed. Client "" switches it off everywhere.
func (f *Switches) Off(ctx context.Context, name, client string) error {
	fault, id, err := f.find(name, client)
	if err != nil {
		return err
	}
	f.switching[name].Lock()
	defer f.switching[name].Unlock()
	for _, state := range slices.Clone(f.statesOf(name)) {
		if client != "" && state.client != id {
			if state.client == 0 {
				return fmt.Errorf("fault %s: %w", name, ErrOnForAll)
			}
			continue
		}
		if len(state.injected) > 0 {
			err = violations.Remove(ctx, f.store, state.injected)
		} else if fault.Off != nil {
			err = fault.Off(ctx, f.where(state))
		}
		if err != nil {
			return fmt.Errorf("fault %s: switch off: %w", name, err)
		}
		f.drop(name, state)
		if fault.AfterOff != nil {
			fault.AfterOff()
		}
	}
	f.store.Logger.Info("platform: fault off", "fault", name, "client", client)
	return nil
}

// AllOff switches every fault off. Servers come first: the other faults need them.
func (f *Switches) AllOff(ctx context.Context) error {
	return f.switchOff(ctx, append(serverFaults(), f.Names()...))
}

// ServersUp switches off all faults that stop or change a server: no server is left broken.
func (f *Switches) ServersUp() error { return f.switchOff(context.Background(), serverFaults()) }

func (f *Switches) switchOff(ctx context.Context, names []string) error {
	var all []error
	for _, name := range names {
		if f.Any(name) {
			all = append(all, f.Off(ctx, name, ""))
		}
	}
	return errors.Join(all...)
}

// serverFaults are the faults that stop or change a server. Those that stop one come first: the other faults need the servers.
func serverFaults() []string {
	return []string{DatabaseDown, BrokerRestart, CacheDown, DatabaseReadOnly, CacheEvicting, Deadlocks, PoolExhausted, DiskFilling}
}

// Violations returns the faults that inject a violation of an integrity check.
func Violations() []Fault {
	return []Fault{
		{Name: SoldTwice, Scope: oneClient, Check: world.SoldTwice,
			Description: "An item was sold to two shoppers.",
			Changes:     "An item with two sales that are not returned is added; off removes it."},
		{Name: NegativeSlots, Scope: oneClient, Check: world.NegativeRemaining,
			Description: "A drop-off slot has a negative number of remaining places.",
			Changes:     "A drop-off slot with remaining = -1 is added; off removes it."},
		{Name: OverbookedSlot, Scope: oneClient, Check: world.OverbookedSlot,
			Description: "A drop-off slot has more bookings than places.",
			Changes:     "A drop-off slot with one place and two bookings is added; off removes them."},
		{Name: ReturnAfterWindow, Scope: oneClient, Check: world.ReturnAfterWindow,
			Description: "A sale was returned after the return window had ended.",
			Changes:     "A returned item and its sale are added; off removes them."},
		{Name: PaidEarly, Scope: oneClient, Check: world.PaidBeforeReconciliation,
			Description: "A consignor was paid before the reconciliation.",
			Changes:     "A participant with a paid settlement is added to a live sale event; off removes them."},
	}
}

func (f *Switches) find(name, client string) (Fault, uint64, error) {
	i := slices.IndexFunc(f.all, func(fault Fault) bool { return fault.Name == name })
	if i < 0 {
		return Fault{}, 0, fmt.Errorf("fault %q: %w", name, ErrUnknownFault)
	}
	if client == "" {
		return f.all[i], 0, nil
	}
	if f.all[i].Scope == Everybody {
		return Fault{}, 0, fmt.Errorf("fault %s: %w", name, ErrScope)
	}
	id, err := f.store.ClientID(client)
	return f.all[i], id, err
}

func (f *Switches) statesOf(name string) []*faultState {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return f.states[name]
}

// Any reports whether a fault is on somewhere.
func (f *Switches) Any(name string) bool { return len(f.statesOf(name)) > 0 }

func (f *Switches) set(name string, states []*faultState) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.states[name] = states
}

func (f *Switches) drop(name string, state *faultState) {
	f.set(name, slices.DeleteFunc(slices.Clone(f.statesOf(name)), func(s *faultState) bool { return s == state }))
}

// where returns where a fault is on: for one client, or for all active ones.
func (f *Switches) where(state *faultState) Where {
	at := Where{Since: state.since}
	for _, c := range f.store.ClientList() {
		if c.ID == state.client || state.client == 0 && c.Active {
			at.Clients = append(at.Clients, c.ID)
		}
	}
	return at
}

// touchItems changes some prices, so that there is something to sync.
func (f *Switches) touchItems(ctx context.Context, at Where) error {
	return f.store.Do(ctx, "touch items", func(b *world.Books, c *store.Change) error {
		now := f.store.Now()
		for _, e := range b.Events {
			if !slices.Contains(at.Clients, e.ClientID) || !world.Selling(e.Status) && e.Status != world.Registration {
				continue
			}
			for _, id := range f.store.Index.ForSale.Some(e.ID, 5) {
				item := *b.Items.Get(id)
				item.UpdatedAt = now
				c.Update(item)
			}
		}
		return nil
	})
}
