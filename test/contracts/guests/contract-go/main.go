// The contract's guest in Go, with the acts of contract-typescript.ts, written with the SDK's layer.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	gatehouse "gatehouse.example/sdk/go"
)

type config struct {
	Act  string `json:"act"`
	Word string `json:"word"`
}

var calls int

func main() {}

//go:wasmexport rewrite
func rewrite() int32 { return gatehouse.Run(onRewrite) }

//go:wasmexport access
func access() int32 { return gatehouse.Run(onAccess) }

//go:wasmexport header_filter
func headerFilter() int32 { return gatehouse.Run(onHeaderFilter) }

//go:wasmexport response
func response() int32 { return gatehouse.Run(onResponse) }

//go:wasmexport body_filter
func bodyFilter() int32 { return gatehouse.Run(onBodyFilter) }

//go:wasmexport log
func logPhase() int32 { return gatehouse.Run(onLog) }

func configOf(call *gatehouse.Call) (c config, err error) {
	err = call.ReadConfig(&c)
	return
}

func onRewrite(call *gatehouse.Call) (*gatehouse.Answer, error) {
	c, err := configOf(call)
	if err != nil || c.Act != "vars" {
		return nil, err
	}
	var old string
	if err := json.Unmarshal(call.Vars["old"], &old); err != nil {
		return nil, err
	}
	seen := map[string]string{"word": c.Word, "old": old}
	return &gatehouse.Answer{Vars: map[string]any{"seen": seen, "old": nil}}, nil
}

func onAccess(call *gatehouse.Call) (*gatehouse.Answer, error) {
	calls++
	c, err := configOf(call)
	if err != nil {
		return nil, err
	}
	answer := &gatehouse.Answer{}
	switch c.Act {
	case "request":
		edit(&answer.Request)
		answer.Request.Method = "PUT"
		answer.Request.Path = "/new%20path"
		answer.Request.SetQuery("a=1&b=%20")
	case "body":
		answer.Request.Body = []byte("grüße")
	case "reply":
		headers := gatehouse.Headers{{"X-Why", "because"}}
		answer.Reply = &gatehouse.Reply{Status: 418, Headers: headers, Body: []byte{0, 255}}
	case "config":
		return say(string(call.Config)), nil
	case "headers":
		var parts []string
		for _, pair := range call.Request.Headers {
			parts = append(parts, pair[0], pair[1])
		}
		return say(strings.Join(parts, ",")), nil
	case "consumer":
		if call.Consumer == nil {
			return say("nobody"), nil
		}
		return say(call.Consumer.Username), nil
	case "count":
		return say(fmt.Sprint(calls)), nil
	case "throw":
		return nil, errors.New("as it was told to")
	case "log":
		gatehouse.Log(gatehouse.Info, c.Word)
		gatehouse.Count("contract_total", "Calls.", map[string]string{"word": c.Word}, 2)
	case "echo":
		if call.Request.Body == nil {
			return say("none"), nil
		}
		return say(string(call.Request.Body)), nil
	case "kv":
		return keep(c.Word)
	case "secret":
		return say(secret("TOKEN") + " " + secret("NONE")), nil
	case "fetch":
		headers := map[string]string{"X-Sent": "1"}
		fetched, err := gatehouse.Fetch("POST", "https://api.test/x", headers, []byte(c.Word))
		if err != nil {
			return nil, err
		}
		return say(fmt.Sprintf("%d %s %s", fetched.Status, fetched.Headers["x-url"], fetched.Body)), nil
	}
	return answer, nil
}

func onHeaderFilter(call *gatehouse.Call) (*gatehouse.Answer, error) {
	c, err := configOf(call)
	if err != nil || c.Act != "response" {
		return nil, err
	}
	answer := &gatehouse.Answer{}
	edit(&answer.Response)
	answer.Response.Status = 201
	return answer, nil
}

func onResponse(call *gatehouse.Call) (*gatehouse.Answer, error) {
	c, err := configOf(call)
	if err != nil || c.Act != "whole" {
		return nil, err
	}
	return &gatehouse.Answer{Response: gatehouse.Edit{Status: 202, Body: []byte("another body")}}, nil
}

func onBodyFilter(call *gatehouse.Call) (*gatehouse.Answer, error) {
	c, err := configOf(call)
	if err != nil || c.Act != "chunks" || !call.Chunk.Last {
		return nil, err
	}
	return &gatehouse.Answer{Chunk: []byte("end")}, nil
}

func onLog(call *gatehouse.Call) (*gatehouse.Answer, error) {
	c, err := configOf(call)
	if err == nil && c.Act == "log" {
		gatehouse.Log(gatehouse.Warn, "in log")
	}
	return nil, err
}

func edit(message *gatehouse.Edit) {
	message.Set("X-Set", "new")
	message.Add("X-Add", "2")
	message.Remove("x-gone")
}

func say(text string) *gatehouse.Answer {
	return &gatehouse.Answer{Reply: &gatehouse.Reply{Status: 200, Body: []byte(text)}}
}

func keep(word string) (*gatehouse.Answer, error) {
	before := value()
	if err := gatehouse.Set("key", []byte(word), time.Minute); err != nil {
		return nil, err
	}
	during := value()
	if err := gatehouse.Delete("key"); err != nil {
		return nil, err
	}
	return say(before + " " + during + " " + value()), nil
}

func value() string {
	kept, found, err := gatehouse.Get("key")
	if err != nil || !found {
		return "none"
	}
	return string(kept)
}

func secret(name string) string {
	text, found, err := gatehouse.Secret(name)
	if err != nil || !found {
		return "none"
	}
	return text
}
