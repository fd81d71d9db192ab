package httpapi

import (
	"net"
	"net/url"

	"github.com/consignwatch/consignwatch/pkg/yamlfile"
)

// IsAddress reports whether an address can have a path added, and holds no secret.
func IsAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" && u.User == nil && u.RawQuery == "" && u.Fragment == ""
}

// IsClear reports whether a secret would travel to an address in the clear, and to another host.
func IsClear(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Scheme == "http" && !IsLoopback(u.Hostname())
}

// CheckTiming checks an interval and a timeout, after the defaults were set.
func CheckTiming(f *yamlfile.File, section string, interval, timeout yamlfile.Duration) error {
	switch {
	case interval < 0:
		return f.Errorf(section+".interval", "cannot be negative")
	case timeout < 0:
		return f.Errorf(section+".timeout", "cannot be negative")
	case timeout > interval:
		return f.Errorf(section+".timeout", "cannot be longer than the interval of %s", interval)
	}
	return nil
}

// IsLoopback reports whether a host is this one.
func IsLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
