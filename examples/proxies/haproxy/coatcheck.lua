-- SPDX-License-Identifier: Apache-2.0
-- coatcheck for HAProxy 2.6 and newer: "http-request lua.coatcheck /auth/verify" puts a request to the
-- daemon before it goes anywhere. What it needs around it is in haproxy.cfg beside this file, and why in
-- docs/proxies.md.
--
-- The request may pass if, and only if, the variable txn.coatcheck is "pass" afterwards. HAProxy goes on
-- with the next rule when Lua fails, so the configuration has to ask for that variable.

local socket = os.getenv("COATCHECK_SOCKET") or "unix@/run/coatcheck/http.sock"
local cookie = os.getenv("COATCHECK_COOKIE") or "__Host-id"
local scheme = os.getenv("COATCHECK_SCHEME") -- "https" behind something that ends TLS; else as HAProxy sees it

-- For one try; HAProxy makes up to four, as a kept connection may have ended meanwhile.
local timeout_ms = 500

local identity = {"user", "roles", "methods", "session", "time", "assertion"}
local ours = {[cookie] = true, [cookie .. "-pre"] = true, [cookie .. "-device"] = true}

-- What the daemon wants to know of the client beside its cookies.
local asked = {"accept", "accept-language", "sec-fetch-site", "sec-fetch-mode", "sec-fetch-dest"}

-- Not the client's, or made anew by HAProxy.
local hop_by_hop = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true,
    ["trailer"] = true, ["transfer-encoding"] = true, ["upgrade"] = true, ["content-length"] = true,
}

-- HAProxy's lists begin at 0.
local function list(values)
    local out, i = {}, 0
    while values and values[i] do
        out[#out + 1] = values[i]
        i = i + 1
    end
    return out
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

local function question(txn, headers)
    local host = list(headers["host"])
    local out = {
        ["cookie"] = list(headers["cookie"]),
        -- Named always: in its absence the client of this module would say that it is HAProxy.
        ["user-agent"] = #list(headers["user-agent"]) > 0 and list(headers["user-agent"]) or {""},
        ["x-forwarded-method"] = {txn.f:method()},
        ["x-forwarded-uri"] = {txn.f:pathq()},
        ["x-forwarded-host"] = {host[1]},
        ["x-forwarded-proto"] = {scheme or (txn.sf:ssl_fc() == "1" and "https" or "http")},
        ["x-forwarded-for"] = {txn.f:src()},
    }
    for _, name in ipairs(asked) do
        out[name] = list(headers[name])
    end
    return out
end

-- The daemon's own answer, whole. What HAProxy says in its place (no connection, no answer in time, not
-- HTTP) has a status of 500 and more, too, but does not name the request.
local function is_whole(res)
    if type(res.status) ~= "number" or res.status < 200 or not res.headers then
        return false
    end
    local length = list(res.headers["content-length"])
    return #length == 1 and length[1]:find("^%d+$") and tonumber(length[1]) == #(res.body or "") and
        (res.status < 500 or res.headers["x-request-id"] ~= nil)
end

local function answer(txn, status, headers, body)
    local reply = txn:reply({status = status, body = body})
    for name, values in pairs(headers) do
        if not hop_by_hop[name] then
            for _, value in ipairs(values) do
                reply:add_header(name, value)
            end
        end
    end
    txn:done(reply)
end

local function unavailable(txn)
    answer(txn, 503, {
        ["retry-after"] = {"2"}, ["cache-control"] = {"no-store"},
        ["content-type"] = {"application/json; charset=utf-8"},
    }, '{"error":{"code":"unavailable"}}')
end

-- One visible line, or nothing at all: a value that is neither is no answer of the daemon.
local function value_of(res, name, pattern)
    local values = list(res.headers[name])
    if #values == 0 then
        return true, nil
    end
    return #values == 1 and values[1]:find(pattern) ~= nil, values[1]
end

-- Identity and the rotated cookie of a passing answer, or nil if it is not plainly one. Without a user
-- only who was asked with optional=yes may pass: so another service in the daemon's place opens nothing.
local function read_pass(res, verify)
    local out = {}
    for _, name in ipairs(identity) do
        local good, value = value_of(res, "x-auth-" .. name, "^[\x21-\x7e]+$")
        if not good then
            return nil
        end
        out[name] = value
    end
    local good, value = value_of(res, "set-cookie", "^[\x20-\x7e]+$")
    if not good then
        return nil
    end
    if not out.user and not verify:find("[?&]optional=yes") then
        return nil
    end
    out.cookie = value
    return out
end

-- Names in Connection are fields that the next hop drops: a client must not name ours there.
local function clean_connection(http, headers)
    local upgrade = table.concat(list(headers["connection"]), ","):lower()
    http:req_del_header("connection")
    if ("," .. upgrade:gsub("[ \t]", "") .. ","):find(",upgrade,", 1, true) then
        http:req_set_header("connection", "upgrade")
    end
end

local function pass(txn, headers, who)
    local http = txn.http
    for _, name in ipairs(identity) do
        http:req_del_header("x-auth-" .. name)
        if who[name] then
            http:req_set_header("x-auth-" .. name, who[name])
        end
    end
    clean_connection(http, headers)
    http:req_del_header("cookie")
    for _, line in ipairs(list(headers["cookie"])) do
        local rest = strip(line)
        if rest ~= "" then
            http:req_add_header("cookie", rest)
        end
    end
    txn:set_var("txn.coatcheck_user", who.user or "")
    txn:set_var("txn.coatcheck_session", who.session or "")
    if who.cookie then
        txn:set_var("txn.coatcheck_cookie", who.cookie)
    end
    txn:set_var("txn.coatcheck", "pass")
end

core.register_action("coatcheck", {"http-req"}, function(txn, verify)
    local headers = txn.http:req_get_headers()
    txn:set_var("txn.coatcheck", "unknown")
    local asked_well, res = pcall(function()
        return core.httpclient():get({
            url = "http://coatcheck" .. verify, dst = socket, timeout = timeout_ms,
            headers = question(txn, headers),
        })
    end)
    if not asked_well or not is_whole(res) then
        txn:Warning("coatcheck: no answer from " .. socket)
        return unavailable(txn)
    end
    if res.status >= 300 then
        txn:set_var("txn.coatcheck", "refused")
        local out = {}
        for name, values in pairs(res.headers) do
            out[name] = list(values)
        end
        return answer(txn, res.status, out, res.body)
    end
    local who = res.status == 200 and read_pass(res, verify)
    if not who then
        txn:Warning("coatcheck: an answer that is none")
        return unavailable(txn)
    end
    pass(txn, headers, who)
end, 1)
