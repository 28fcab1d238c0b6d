-- SPDX-License-Identifier: Apache-2.0
-- coatcheck for Apache httpd 2.4 with mod_lua and LuaSocket: each request is put to the daemon before it
-- goes anywhere. What it needs around it is in coatcheck.conf beside this file, and why in docs/proxies.md.
--
-- AuthName of the place says what is asked: "coatcheck /auth/verify?role=admin", or "coatcheck off" for
-- coatcheck's own pages. Anything else is refused. A request that may pass has the variable COATCHECK in
-- its environment, which the configuration demands ("Require env COATCHECK").

local socket_path = "/run/coatcheck/http.sock"
local cookie = "__Host-id"
local scheme = nil -- "https" behind something that ends TLS; else as Apache sees it
local timeout_us = 2000000 -- for the whole answer

local unix = require("socket.unix")

local identity = {"User", "Roles", "Methods", "Session", "Time", "Assertion"}
local ours = {[cookie] = true, [cookie .. "-pre"] = true, [cookie .. "-device"] = true}
local lines_max, body_max = 100, 65536

-- What the daemon wants to know of the client beside its cookies.
local asked = {
    "User-Agent", "Accept", "Accept-Language", "Sec-Fetch-Site", "Sec-Fetch-Mode", "Sec-Fetch-Dest",
}

-- Not the client's, or made anew by Apache.
local hop_by_hop = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true,
    ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true,
    ["date"] = true, ["server"] = true,
}

-- The connection of this interpreter, of which each is used by one request at a time.
local kept

-- ---- the connection to the daemon ----

local function connect()
    local socket = type(unix) == "function" and unix() or unix.stream()
    socket:settimeout(timeout_us / 1000000)
    if socket:connect(socket_path) then
        return socket
    end
    socket:close()
    return nil
end

-- The kept connection, if the daemon has neither ended it nor said anything unasked.
local function reuse()
    local socket = kept
    kept = nil
    if socket == nil then
        return nil
    end
    socket:settimeout(0)
    local _, err = socket:receive(1)
    if err == "timeout" then
        return socket
    end
    socket:close()
    return nil
end

-- LuaSocket counts a timeout for each call; this is for all of them.
local function limit(socket, r, deadline)
    local left = deadline - r:clock()
    socket:settimeout(left > 0 and left / 1000000 or 0)
end

local function read_fields(socket, r, deadline)
    local fields = {}
    for _ = 1, lines_max do
        limit(socket, r, deadline)
        local line = socket:receive("*l")
        if not line then
            return nil
        end
        if line == "" then
            return fields
        end
        local name, value = line:match("^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.-)[ \t]*$")
        if not name or value:find("[\0-\8\10-\31\127]") then
            return nil
        end
        name = name:lower()
        fields[name] = fields[name] or {}
        table.insert(fields[name], value)
    end
    return nil
end

-- The whole answer or nil; the second result tells whether anything came at all.
local function read_answer(socket, r, deadline)
    limit(socket, r, deadline)
    local line, _, partial = socket:receive("*l")
    if not line then
        return nil, partial ~= nil and partial ~= ""
    end
    local status = tonumber(line:match("^HTTP/1%.[01] (%d%d%d) ") or line:match("^HTTP/1%.[01] (%d%d%d)$"))
    local fields = status and status >= 200 and read_fields(socket, r, deadline)
    if not fields or fields["transfer-encoding"] or not fields["content-length"] then
        return nil, true
    end
    local length = #fields["content-length"] == 1 and tonumber(fields["content-length"][1]:match("^%d+$"))
    if not length or length > body_max then
        return nil, true
    end
    local body = ""
    if length > 0 and status ~= 304 then
        limit(socket, r, deadline)
        body = socket:receive(length)
    end
    return body and {status = status, fields = fields, body = body}, true
end

local function ask(r, request)
    local deadline = r:clock() + timeout_us
    for _ = 1, 2 do
        local old = reuse()
        local socket = old or connect()
        if not socket then
            return nil
        end
        limit(socket, r, deadline)
        local sent = socket:send(request)
        local res, heard = nil, false
        if sent then
            res, heard = read_answer(socket, r, deadline)
        end
        if res and not (res.fields["connection"] and res.fields["connection"][1]:lower() == "close") then
            kept = socket
        else
            socket:close()
        end
        -- A kept connection that ended just now says nothing: once more, on a new one.
        if res or heard or not old or r:clock() >= deadline then
            return res
        end
    end
    return nil
end

-- ---- the request ----

-- Names that nobody but coatcheck and this proxy may use, in every spelling that an application may take
-- for the same.
local function strip_fields(r)
    for name in pairs((r:headers_in_table())) do
        local lower = name:lower()
        if lower:find("^x[^a-z0-9]auth[^a-z0-9]") or lower == "forwarded" or
            lower:find("^x[^a-z0-9]forwarded[^a-z0-9]") or lower:find("^x[^a-z0-9]original[^a-z0-9]") or
            lower:find("^x[^a-z0-9]real[^a-z0-9]") then
            r.headers_in[name] = nil
        end
    end
end

local function set_forwarding(r)
    r.headers_in["X-Forwarded-For"] = r.useragent_ip
    r.headers_in["X-Forwarded-Proto"] = scheme or (r.is_https and "https" or "http")
    r.headers_in["X-Forwarded-Host"] = r.headers_in["Host"]
end

-- Names in Connection are fields that mod_proxy drops: a client must not name ours there.
local function clean_connection(r)
    local list = "," .. (r.headers_in["Connection"] or ""):lower():gsub("[ \t]", "") .. ","
    local keep = {}
    for _, name in ipairs({"close", "keep-alive", "upgrade"}) do
        if list:find("," .. name .. ",", 1, true) then
            keep[#keep + 1] = name
        end
    end
    r.headers_in["Connection"] = #keep > 0 and table.concat(keep, ", ") or nil
end

-- Is a cookie of ours still there, behind something else than ";"?
local function is_hidden(line)
    local plain = ";" .. line:gsub("[ \t]+", " "):gsub(" =", "="):gsub("[;, ]", ";")
    for name in pairs(ours) do
        if plain:find(";" .. name .. "=", 1, true) then
            return true
        end
    end
    return false
end

local function is_blank(byte)
    return byte == 32 or byte == 9
end

-- The name in "name=value", without blanks around it; by hand, for patterns that do this can take long.
local function name_of(pair)
    local equals = pair:find("=", 1, true)
    if not equals then
        return nil
    end
    local from, to = 1, equals - 1
    while from <= to and is_blank(pair:byte(from)) do
        from = from + 1
    end
    while to >= from and is_blank(pair:byte(to)) do
        to = to - 1
    end
    return pair:sub(from, to)
end

-- A Cookie line without our cookies; the others byte for byte.
local function strip(line)
    local out, first, cut_front = {}, true, false
    for pair in (line .. ";"):gmatch("([^;]*);") do
        if ours[name_of(pair)] then
            cut_front = cut_front or first
        else
            if first and cut_front then
                pair = pair:gsub("^[ \t]+", "")
            end
            out[#out + 1] = pair
            first = false
        end
    end
    local rest = table.concat(out, ";")
    return is_hidden(rest) and "" or rest
end

-- Apache joins several Cookie lines with a comma. A value of ours has none, so what follows one is the
-- next line; in a value of others it stays, for a foreign cookie must not become one of ours.
local function separate(line)
    local out = {}
    for pair in (line .. ";"):gmatch("([^;]*);") do
        local value, more = pair:match("^([^,]*),(.*)$")
        while value and ours[name_of(pair)] do
            out[#out + 1] = value
            pair = more
            value, more = pair:match("^([^,]*),(.*)$")
        end
        out[#out + 1] = pair
    end
    return table.concat(out, ";")
end

local function target(r)
    local uri = r.unparsed_uri
    if uri:sub(1, 1) == "/" or uri == "*" then
        return uri
    end
    local path = uri:match("^[%a][%w+.-]*://[^/?#]*(.*)$") or ""
    return path:sub(1, 1) == "/" and path or "/" .. path
end

local function question(r, verify, cookies)
    local lines = {
        "GET " .. verify .. " HTTP/1.1", "Host: coatcheck",
        "X-Forwarded-Method: " .. r.method, "X-Forwarded-Uri: " .. target(r),
    }
    local function add(name, value)
        if value and value ~= "" then
            lines[#lines + 1] = name .. ": " .. value
        end
    end
    for _, name in ipairs({"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host"}) do
        add(name, r.headers_in[name])
    end
    for _, name in ipairs(asked) do
        add(name, r.headers_in[name])
    end
    add("Cookie", cookies)
    for _, line in ipairs(lines) do
        if line:find("[\0-\8\10-\31\127]") then
            return nil
        end
    end
    return table.concat(lines, "\r\n") .. "\r\n\r\n"
end

-- ---- the answer ----

local function reply(r, status, fields, body)
    r.status = status
    for name, values in pairs(fields) do
        if name == "content-type" then
            r.content_type = values[1]
        elseif name == "set-cookie" then
            r.err_headers_out[name] = values[1]
        elseif not hop_by_hop[name] then
            r.headers_out[name] = table.concat(values, ", ")
        end
    end
    r:write(body)
    return apache2.DONE
end

local function unavailable(r, why)
    r:err("coatcheck: " .. why)
    return reply(r, 503, {
        ["retry-after"] = {"2"}, ["cache-control"] = {"no-store"},
        ["content-type"] = {"application/json; charset=utf-8"},
    }, '{"error":{"code":"unavailable"}}')
end

-- One visible line, or nothing at all: a value that is neither is no answer of the daemon.
local function value_of(fields, name, pattern)
    local values = fields[name]
    if values == nil then
        return true, nil
    end
    return #values == 1 and values[1]:find(pattern) ~= nil, values[1]
end

-- Without a user only who was asked with optional=yes may pass: so another service in the daemon's place
-- opens nothing.
local function pass(r, verify, fields, other_cookies)
    local who = {}
    for _, name in ipairs(identity) do
        local good, value = value_of(fields, "x-auth-" .. name:lower(), "^[\x21-\x7e]+$")
        if not good then
            return unavailable(r, "an answer that is none")
        end
        who[name] = value
    end
    local good, rotated = value_of(fields, "set-cookie", "^[\x20-\x7e]+$")
    if not good or not (who.User or verify:find("[?&]optional=yes")) then
        return unavailable(r, "an answer that is none")
    end
    for _, name in ipairs(identity) do
        r.headers_in["X-Auth-" .. name] = who[name]
    end
    r.headers_in["Cookie"] = other_cookies ~= "" and other_cookies or nil
    if rotated then
        r.err_headers_out["Set-Cookie"] = rotated
    end
    if who.User then
        r.user = who.User
    end
    return apache2.OK
end

-- Within another request, or after an internal redirect, the cookie has gone: what has passed with this
-- question goes on, and no other.
local function again(r, verify)
    local env = r.subprocess_env
    if (env["COATCHECK"] or env["REDIRECT_COATCHECK"]) ~= verify then
        r:err("coatcheck: an internal request leads to a place with another AuthName: " .. r.uri)
        return 403
    end
    env["COATCHECK"] = verify
    return apache2.OK
end

local function gate(r)
    local verify = (r.auth_name or ""):match("^coatcheck (%S+)$")
    if verify == "off" then
        strip_fields(r)
        set_forwarding(r)
        clean_connection(r)
        return apache2.OK
    end
    if not verify or not verify:find("^/[\x21-\x7e]*$") then
        return unavailable(r, "AuthName must be \"coatcheck /auth/verify\", or with ?..., or \"coatcheck off\"")
    end
    if not r.is_initial_req then
        return again(r, verify)
    end
    r.subprocess_env["COATCHECK"] = nil
    strip_fields(r)
    set_forwarding(r)
    clean_connection(r)
    local cookies = separate(r.headers_in["Cookie"] or "")
    local request = question(r, verify, cookies)
    local res = request and ask(r, request)
    if not res then
        return unavailable(r, "no answer from " .. socket_path)
    end
    if res.status ~= 200 and res.status < 300 then
        return unavailable(r, "an answer that is none")
    end
    if res.status ~= 200 then
        return reply(r, res.status, res.fields, res.body)
    end
    local verdict = pass(r, verify, res.fields, strip(cookies))
    if verdict == apache2.OK then
        r.subprocess_env["COATCHECK"] = verify
    end
    return verdict
end

function check(r)
    local done, verdict = pcall(gate, r)
    if done then
        return verdict
    end
    r:err("coatcheck: " .. tostring(verdict))
    return 503
end
