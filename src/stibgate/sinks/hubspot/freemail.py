"""Mail hosts that everybody may have an address at; none of them is a company's own domain.

The common ones in the countries that Stibnite covers. A host that is missing costs a company record of that name,
a host too many costs a company its domain: so only well-known ones are listed.
"""

_LISTED = """
    aim.com aol.com att.net bellsouth.net bigpond.com bluewin.ch btinternet.com cableone.net centurylink.net
    charter.net comcast.net cox.net duck.com earthlink.net email.com embarqmail.com excite.com fastmail.com
    fastmail.fm free.fr freenet.de frontier.com frontiernet.net gmail.com gmx.at gmx.ch gmx.com gmx.de gmx.net
    googlemail.com hey.com hotmail.ca hotmail.co.uk hotmail.com hotmail.de hotmail.es
    hotmail.fr hotmail.it hushmail.com icloud.com inbox.com juno.com laposte.net libero.it live.ca live.co.uk
    live.com live.fr live.nl lycos.com mac.com mail.com mail.ru me.com mindspring.com msn.com netscape.net
    netzero.com netzero.net optonline.net optimum.net orange.fr outlook.com outlook.de outlook.es outlook.fr
    pacbell.net pm.me proton.me protonmail.com qq.com roadrunner.com rocketmail.com rogers.com rr.com
    sbcglobal.net sfr.fr shaw.ca sky.com suddenlink.net swbell.net sympatico.ca t-online.de talktalk.net
    telus.net tiscali.it tuta.com tutanota.com uol.com.br verizon.net virginmedia.com wanadoo.fr web.de
    windstream.net yahoo.ca yahoo.co.in yahoo.co.jp yahoo.co.uk yahoo.com yahoo.com.br yahoo.com.mx yahoo.de
    yahoo.es yahoo.fr yahoo.it yandex.com yandex.ru ymail.com zoho.com zohomail.com 163.com 126.com
"""
FREE_MAIL_DOMAINS = frozenset(_LISTED.split())
