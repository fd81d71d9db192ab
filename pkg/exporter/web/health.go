package web

import (
	"fmt"
	"net"
	"net/http"
	"sync"
)

// healthHandler serves health and readiness, which need no authentication.
func (in *instance) healthHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "Healthy.")
	})
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, _ *http.Request) {
		if !in.manager.Ready() {
			http.Error(w, "Not ready: some targets were not tried yet.", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "Ready.")
	})
	return mux
}

// unauthenticatedPaths is a listener that exempts health and readiness from the toolkit's authentication. The toolkit
// authenticates every path: it replaces the server's handler by its own just before it serves. The first Accept comes
// right after that and before any request, so Accept wraps the handler.
type unauthenticatedPaths struct {
	net.Listener
	server  *http.Server
	handler http.Handler
	once    sync.Once
}

func (l *unauthenticatedPaths) Accept() (net.Conn, error) {
	l.once.Do(func() {
		authenticated := l.server.Handler
		l.server.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/-/healthy" || r.URL.Path == "/-/ready" {
				l.handler.ServeHTTP(w, r)
				return
			}
			authenticated.ServeHTTP(w, r)
		})
	})
	return l.Listener.Accept()
}
