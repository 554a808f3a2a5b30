// A service that answers only its gateway: go run service.go
package main

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"log"
	"net/http"
	"os"
	"strings"
	"time"
)

var secret = sha256.Sum256([]byte(strings.TrimSpace(os.Getenv("SHARED_SECRET"))))
var none = sha256.Sum256(nil)

func answer(w http.ResponseWriter, status int, key, text string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(map[string]string{key: text})
}

func refusal(values []string) (int, string) {
	sent := sha256.Sum256([]byte(strings.Join(values, ", ")))
	switch {
	case secret == none:
		return 500, "Server configuration error"
	case strings.TrimSpace(strings.Join(values, "")) == "":
		return 401, "No secret provided"
	case subtle.ConstantTimeCompare(sent[:], secret[:]) != 1:
		return 401, "Invalid secret"
	}
	return 0, ""
}

func gatewayOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, _, _ := strings.Cut(r.RequestURI, "?") // as it came: r.URL.Path is decoded
		status, text := refusal(r.Header.Values("X-Shared-Secret"))
		if status == 0 || r.Method == "GET" && path == "/healthz" {
			next.ServeHTTP(w, r)
			return
		}
		w.Header().Set("Cache-Control", "no-store")
		if status == 401 {
			w.Header().Set("WWW-Authenticate", `SharedSecret realm="origin"`)
		}
		answer(w, status, "error", text)
	})
}

func get(key, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if r.Method != "GET" && r.Method != "HEAD" {
			answer(w, 405, "error", "Method not allowed")
			return
		}
		answer(w, 200, key, text)
	}
}

func main() {
	mux := http.NewServeMux()
	mux.HandleFunc("/healthz", get("status", "ok"))
	mux.HandleFunc("/protected", get("message", "Access granted"))
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { answer(w, 404, "error", "Not found") })
	port := os.Getenv("PORT")
	if port == "" {
		port = "8000"
	}
	server := http.Server{
		Addr: "127.0.0.1:" + port, Handler: gatewayOnly(mux),
		MaxHeaderBytes: 32 << 10, ReadHeaderTimeout: 30 * time.Second,
	}
	log.Fatal(server.ListenAndServe())
}
