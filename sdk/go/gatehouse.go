// Package gatehouse is a thin layer over Extism's kit for Gatehouse plugins in Go.
//
//	//go:wasmexport access
//	func access() int32 { return gatehouse.Run(onAccess) }
//
//	func onAccess(call *gatehouse.Call) (*gatehouse.Answer, error) {
//		answer := gatehouse.Answer{}
//		answer.Request.Set("X-Seen", call.Request.Path)
//		return &answer, nil
//	}
//
// One export for each phase of the manifest. Build with
//
//	GOOS=wasip1 GOARCH=wasm go build -buildmode=c-shared -ldflags="-s -w" -o plugin.wasm .
package gatehouse

import (
	"encoding/json"
	"strings"

	"github.com/extism/go-pdk"
)

// Call is what a hook is called with. What the manifest has no grant for is empty.
type Call struct {
	Phase string `json:"phase"`
	// ID is the request's, 32 hexadecimal digits.
	ID      string  `json:"id"`
	Request Request `json:"request"`
	// Response is nil before there is one.
	Response *Response `json:"response"`
	// Chunk is what body_filter is given; nil in other phases.
	Chunk *Chunk `json:"chunk"`
	// Consumer is nil while nobody is known.
	Consumer *Consumer `json:"consumer"`
	// Vars are values that plugins share along a request.
	Vars map[string]json.RawMessage `json:"vars"`

	Config json.RawMessage `json:"config"`
}

// ReadConfig reads the plugin's config into a struct with json tags.
func (c *Call) ReadConfig(into any) error { return json.Unmarshal(c.Config, into) }

type Request struct {
	Method string `json:"method"`
	Scheme string `json:"scheme"`
	Host   string `json:"host"`
	// Path is without the query, Query without its question mark.
	Path     string  `json:"path"`
	Query    string  `json:"query"`
	ClientIP string  `json:"client_ip"`
	Headers  Headers `json:"headers"`
	// Body is nil if there is none.
	Body []byte `json:"body"`
}

type Response struct {
	Status  int     `json:"status"`
	Headers Headers `json:"headers"`
	// Body is the whole one, in the phase response alone.
	Body []byte `json:"body"`
}

type Chunk struct {
	Data []byte `json:"data"`
	Last bool   `json:"last"`
}

type Consumer struct {
	ID       string `json:"id"`
	Username string `json:"username"`
}

// Headers are pairs of name and value, in order, spelled as received.
type Headers [][2]string

// Get gives the first value of a header, and whether there is one. Names compare without case.
func (h Headers) Get(name string) (string, bool) {
	for _, pair := range h {
		if strings.EqualFold(pair[0], name) {
			return pair[1], true
		}
	}
	return "", false
}

// Values gives all values of a header.
func (h Headers) Values(name string) []string {
	var values []string
	for _, pair := range h {
		if strings.EqualFold(pair[0], name) {
			values = append(values, pair[1])
		}
	}
	return values
}

// Answer is what a hook answers; the zero value changes nothing.
type Answer struct {
	Request  Edit
	Response Edit
	// Reply is sent in place of the upstream's answer; in rewrite, access and response.
	Reply *Reply
	// Chunk, if it is not nil, is what body_filter sends in place of its own; empty bytes are none.
	Chunk []byte
	// Vars are left for later plugins and phases; nil takes one away.
	Vars map[string]any
}

// Edit is what changes in a request or a response, in order. Which of it a phase allows stands in the docs.
type Edit struct {
	headers [][]string
	Method  string
	Path    string
	query   *string
	Status  int
	// Body replaces the whole one, if it is not nil.
	Body []byte
}

// Set replaces every value of a header by one.
func (e *Edit) Set(name, value string) { e.headers = append(e.headers, []string{"set", name, value}) }

// Add adds a value beside those that are there.
func (e *Edit) Add(name, value string) { e.headers = append(e.headers, []string{"add", name, value}) }

// SetQuery replaces the query, which may be empty; without its question mark.
func (e *Edit) SetQuery(query string) { e.query = &query }

func (e *Edit) Remove(name string) { e.headers = append(e.headers, []string{"remove", name}) }

func (e *Edit) json() map[string]any {
	out := map[string]any{}
	if len(e.headers) > 0 {
		out["headers"] = e.headers
	}
	if e.Method != "" {
		out["method"] = e.Method
	}
	if e.Path != "" {
		out["path"] = e.Path
	}
	if e.query != nil {
		out["query"] = *e.query
	}
	if e.Status != 0 {
		out["status"] = e.Status
	}
	if e.Body != nil {
		out["body"] = e.Body
	}
	return out
}

type Reply struct {
	Status  int     `json:"status"`
	Headers Headers `json:"headers"`
	Body    []byte  `json:"body"`
}

// ReplyJSON makes a reply with a value as JSON.
func ReplyJSON(status int, value any) (*Reply, error) {
	body, err := json.Marshal(value)
	return &Reply{Status: status, Headers: Headers{{"Content-Type", "application/json; charset=utf-8"}}, Body: body}, err
}

func (a *Answer) json() map[string]any {
	out := map[string]any{}
	if request := a.Request.json(); len(request) > 0 {
		out["request"] = request
	}
	if response := a.Response.json(); len(response) > 0 {
		out["response"] = response
	}
	if a.Reply != nil {
		reply := *a.Reply
		if reply.Headers == nil {
			reply.Headers = Headers{}
		}
		if reply.Body == nil {
			reply.Body = []byte{}
		}
		out["reply"] = reply
	}
	if a.Chunk != nil {
		out["chunk"] = a.Chunk
	}
	if len(a.Vars) > 0 {
		out["vars"] = a.Vars
	}
	return out
}

// Run calls a hook with what the gateway passed, and passes on what it answers: the body of an export. An error
// fails the call, and its words go to the log. A nil answer changes nothing.
func Run(hook func(*Call) (*Answer, error)) int32 {
	if err := run(hook); err != nil {
		pdk.SetError(err)
		return 1
	}
	return 0
}

func run(hook func(*Call) (*Answer, error)) error {
	var call Call
	if err := json.Unmarshal(pdk.Input(), &call); err != nil {
		return err
	}
	answer, err := hook(&call)
	if err != nil || answer == nil {
		return err
	}
	out, err := json.Marshal(answer.json())
	if err != nil {
		return err
	}
	pdk.Output(out)
	return nil
}
