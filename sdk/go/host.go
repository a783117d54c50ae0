package gatehouse

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/extism/go-pdk"
)

// What a plugin may ask of the gateway. Each needs its grant, without which the module is refused at upload.
// Nothing here can be called while the module starts.

//go:wasmimport extism:host/user kv_get
func kvGet(key uint64) uint64

//go:wasmimport extism:host/user kv_set
func kvSet(key, value uint64, ttlMs int64) int64

//go:wasmimport extism:host/user kv_delete
func kvDelete(key uint64) int64

//go:wasmimport extism:host/user secret_get
func secretGet(name uint64) uint64

//go:wasmimport extism:host/user metric_count
func metricCount(name, help, labels uint64, by float64)

// failed is what a host function answers when it could not do its work.
const failed = ^uint64(0)

// ErrHost says that the gateway could not do what was asked; why stands in the plugin's log.
var ErrHost = errors.New("the gateway could not do it: see the plugin's log")

// Log levels, for Log.
const (
	Debug = pdk.LogDebug
	Info  = pdk.LogInfo
	Warn  = pdk.LogWarn
	Error = pdk.LogError
)

// Log writes a line to the plugin's log (grant log).
func Log(level pdk.LogLevel, line string) { pdk.Log(level, line) }

// Get gives a value that the plugin keeps, and whether there is one (grant kv_bytes).
func Get(key string) (value []byte, found bool, err error) { return read(kvGet(store([]byte(key)))) }

// Set keeps a value under a key; a time of 0 is for ever.
func Set(key string, value []byte, ttl time.Duration) error {
	if kvSet(store([]byte(key)), store(value), ttl.Milliseconds()) != 0 {
		return ErrHost
	}
	return nil
}

func Delete(key string) error {
	if kvDelete(store([]byte(key))) != 0 {
		return ErrHost
	}
	return nil
}

// Secret gives a secret by a name that the grant secrets lists.
func Secret(name string) (text string, found bool, err error) {
	value, found, err := read(secretGet(store([]byte(name))))
	return string(value), found, err
}

// Count adds to a counter (grant metrics).
func Count(name, help string, labels map[string]string, by float64) {
	encoded, _ := json.Marshal(labels)
	metricCount(store([]byte(name)), store([]byte(help)), store(encoded), by)
}

// Fetched is what a request was answered.
type Fetched struct {
	Status int
	// Headers have names in lower case.
	Headers map[string]string
	Body    []byte
}

// Fetch sends a request to a host that the grant http_hosts lists.
func Fetch(method, url string, headers map[string]string, body []byte) (*Fetched, error) {
	methods := map[string]pdk.HTTPMethod{
		"GET": pdk.MethodGet, "HEAD": pdk.MethodHead, "POST": pdk.MethodPost, "PUT": pdk.MethodPut,
		"PATCH": pdk.MethodPatch, "DELETE": pdk.MethodDelete, "OPTIONS": pdk.MethodOptions,
	}
	known, ok := methods[method]
	if !ok {
		return nil, errors.New("no method " + method)
	}
	request := pdk.NewHTTPRequest(known, url)
	for name, value := range headers {
		request.SetHeader(name, value)
	}
	if body != nil {
		request.SetBody(body)
	}
	response := request.Send()
	if response.Status() == 0 {
		return nil, ErrHost
	}
	return &Fetched{Status: int(response.Status()), Headers: response.Headers(), Body: response.Body()}, nil
}

func store(data []byte) uint64 {
	memory := pdk.AllocateBytes(data)
	return memory.Offset()
}

func read(block uint64) ([]byte, bool, error) {
	switch block {
	case 0:
		return nil, false, nil
	case failed:
		return nil, false, ErrHost
	default:
		memory := pdk.FindMemory(block)
		return memory.ReadBytes(), true, nil
	}
}
