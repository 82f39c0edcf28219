-- Forward authentication for HAProxy: asks Tiergate about each request, with HAProxy's own HTTP client.
--
--   lua-load forward-auth.lua
--   http-request lua.tiergate ADDRESS:PORT
--   http-request deny deny_status 503 unless { var(txn.tiergate) -m str allow }
--
-- 200 is an allow: the identity headers replace the request's, and txn.tiergate becomes `allow`. Every other answer goes to the
-- client. No answer, and any error in here, leaves txn.tiergate unset, and the rule after this one refuses the request.

local timeout_ms = 1000

-- What an allow sets in the request. One that is missing in the answer is taken away, so no client value ever stays.
local identity = {
    "x-auth-user", "x-auth-email", "x-auth-name", "x-auth-tier", "x-auth-tiers", "x-auth-scopes", "x-auth-groups", "x-auth-issuer",
    "x-auth-request-id", "x-auth-assertion",
}

-- What an allow brings for the client.
local for_client = {
    ["set-cookie"] = "txn.auth_set_cookie",
    ["access-control-allow-origin"] = "txn.cors_origin",
    ["access-control-allow-credentials"] = "txn.cors_credentials",
    ["access-control-allow-methods"] = "txn.cors_methods",
    ["access-control-allow-headers"] = "txn.cors_headers",
    ["access-control-expose-headers"] = "txn.cors_expose",
    ["access-control-max-age"] = "txn.cors_max_age",
}

-- Headers that belong to one connection or one body, and are never copied. The check has no body. `upgrade` is copied to Tiergate,
-- which has to know that a WebSocket is asked for; without `connection` it upgrades nothing.
local not_to_tiergate = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["content-length"] = true, ["expect"] = true, ["host"] = true,
}
local not_to_client = {
    ["connection"] = true, ["keep-alive"] = true, ["proxy-connection"] = true, ["te"] = true, ["trailer"] = true,
    ["transfer-encoding"] = true, ["content-length"] = true, ["upgrade"] = true,
}

-- HAProxy numbers the values of a header from 0.
local function first(headers, name)
    local values = headers[name]
    return values and values[0] or ""
end

-- All of them in their order, which `pairs` does not keep.
local function in_order(values)
    local list = {}
    while values[#list] do
        list[#list + 1] = values[#list]
    end
    return list
end

local function refuse(txn, answer)
    local reply = txn:reply()
    reply:set_status(answer.status, answer.reason)
    for name, values in pairs(answer.headers) do
        if not not_to_client[name] then
            for _, value in ipairs(in_order(values)) do
                reply:add_header(name, value)
            end
        end
    end
    if txn.sf:method() ~= "HEAD" then
        reply:set_body(answer.body or "")
    end
    txn:done(reply)
end

local function allow(txn, headers)
    for _, name in ipairs(identity) do
        if headers[name] then
            txn.http:req_set_header(name, first(headers, name))
        else
            txn.http:req_del_header(name)
        end
    end

    -- What Tiergate cut a credential out of.
    for name, from in pairs({ ["cookie"] = "x-auth-cookie", ["sec-websocket-protocol"] = "x-auth-websocket-protocol" }) do
        local value = first(headers, from)
        txn.http:req_del_header(name)
        if value ~= "" then
            txn.http:req_add_header(name, value)
        end
    end
    txn:set_var("txn.auth_query", first(headers, "x-auth-query"))

    for name, variable in pairs(for_client) do
        local value = first(headers, name)
        if value ~= "" then
            txn:set_var(variable, value)
        end
    end
    -- For the log.
    txn:set_var("txn.auth_user", first(headers, "x-auth-user"))
    txn:set_var("txn.tiergate", "allow")
end

core.register_action("tiergate", { "http-req" }, function(txn, address)
    local request = txn.http:req_get_headers()
    local headers = {}
    for name, values in pairs(request) do
        if not not_to_tiergate[name] then
            headers[name] = in_order(values)
        end
    end
    -- The frontend has set X-Forwarded-For, -Proto and -Host by now; the target is what the client sent, byte for byte.
    headers["x-forwarded-method"] = { txn.sf:method() }
    headers["x-forwarded-uri"] = { txn.sf:pathq() }

    local url = "http://" .. address .. "/authz/forward-auth"
    local answer = core.httpclient():get({ url = url, headers = headers, timeout = timeout_ms })
    -- HAProxy answers for a server that it could not reach with a 503 of its own, which goes to the client like any refusal.
    if not answer or not answer.status or answer.status < 200 then
        return
    end
    if answer.status == 200 then
        allow(txn, answer.headers)
    else
        refuse(txn, answer)
    end
end, 1)
