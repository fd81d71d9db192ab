package main

import (
	"fmt"
	"syscall"

	"github.com/alecthomas/kingpin/v2"

	"github.com/consignwatch/consignwatch/pkg/demo/servers"
	"github.com/consignwatch/consignwatch/simulator"
)

// streamNeeds are the addresses that a platform with a stream cannot do without, by whether somebody gave them.
type streamNeeds struct{ api, externalServices bool }

// without clears the addresses that nobody gave, for a platform without a stream.
func (n streamNeeds) without(config *simulator.Config) {
	if !n.api {
		config.API = ""
	}
	if !n.externalServices {
		config.ExternalServices = ""
	}
}

// infraFlags declares the flags of the infrastructure and of the external services, and returns the process of the cache.
func infraFlags(app *kingpin.Application, config *simulator.Config, given *streamNeeds) *int {
	m := &config.Infra
	app.Flag("api-address", "Address of the platform's API, which visitors use: host:port for HTTPS with a certificate of its own authority, or http://host:port. Without a host it is 127.0.0.1; port 0 is a free one. GET /state says where it listens. Without a stream, and without this flag, there is none.").
		Default("127.0.0.1:0").IsSetByUser(&given.api).StringVar(&m.API)
	app.Flag("api-certificates", "Folder in which the API's certificate authority is written as ca.pem.").StringVar(&m.APICertificates)
	app.Flag("cache", "Redis, host:port, in which the API caches responses. Without it the API asks the database each time.").StringVar(&m.Cache)
	pid := app.Flag("cache-pid", "Process ID of Redis, for the fault cache-down, which stops (SIGSTOP) and resumes it (SIGCONT).").Int()
	app.Flag("disk-dir", "Folder in which the platform stores images.").StringVar(&m.Disk.Dir)
	app.Flag("disk-quota", "Capacity of --disk-dir in bytes.").Default("67108864").Int64Var(&m.Disk.Quota)
	app.Flag("disk-textfile", "File for node_exporter, ending in .prom, in its --collector.textfile.directory: size and free space of --disk-dir, as metrics of a file system.").StringVar(&m.Disk.Textfile)
	app.Flag("external-services-address", "Address of the fakes of Shopify, Clerk and Mandrill, which the platform calls: host:port of the loopback interface, for example 127.0.0.1:9478; port 0 is a free one. GET /state says what is where. Without a stream, and without this flag, there are none.").
		Default("127.0.0.1:0").IsSetByUser(&given.externalServices).StringVar(&config.ExternalServices)
	app.Flag("external-services-dir", "Folder for the files with the keys of these fakes, and with the list of clients for the integration-exporter. Empty: a temporary one.").StringVar(&config.ExternalServicesDir)
	return pid
}

// signals returns a function that stops a process (true) and resumes it (false), and waits until the signal has taken effect.
func signals(what string, pid int) func(bool) error {
	return func(down bool) error {
		sig := syscall.SIGCONT
		if down {
			sig = syscall.SIGSTOP
		}
		if err := syscall.Kill(pid, sig); err != nil {
			return fmt.Errorf("signal %s to the %s, process %d: %w", sig, what, pid, err)
		}
		return servers.AwaitSignal(pid, sig)
	}
}
