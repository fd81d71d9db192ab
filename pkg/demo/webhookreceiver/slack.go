package webhookreceiver

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// slackMessage is what Alertmanager sends to an incoming webhook of Slack, with the fields that are shown.
type slackMessage struct {
	Channel     string `json:"channel"`
	Attachments []struct {
		Title string `json:"title"`
		Text  string `json:"text"`
	} `json:"attachments"`
}

// Slack returns a handler that stands in for an incoming webhook of Slack: it writes each message as one line of text. It responds as
// Slack does, since Alertmanager counts any other response as a failure.
func (r *Receiver) Slack() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		var message slackMessage
		if err := json.NewDecoder(http.MaxBytesReader(w, request.Body, maxBody)).Decode(&message); err != nil || len(message.Attachments) == 0 {
			http.Error(w, "invalid_payload", http.StatusBadRequest)
			return
		}
		line := r.now().Format(time.TimeOnly) + "  SLACK     " + message.Channel
		for _, a := range message.Attachments {
			line += "  " + a.Title + " — " + strings.TrimSpace(a.Text)
		}
		r.mu.Lock()
		_, err := fmt.Fprintln(r.lines, withoutControlCharacters(line))
		r.mu.Unlock()
		if err != nil {
			http.Error(w, "service_error", http.StatusInternalServerError)
			return
		}
		_, _ = w.Write([]byte("ok"))
	})
}
